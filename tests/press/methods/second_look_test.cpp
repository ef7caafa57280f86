// Presses that run the model again over the cache: what holds of all of them, whatever they score.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "press/kit/global_selection.h"
#include "small_model.h"

namespace kvpress {
namespace {

constexpr const char* kReplaying[] = {"kvzip(chunk_size=50)",      "kvzip(layerwise=true)",
                                      "kvzip_plus(chunk_size=50)", "kvcompose",
                                      "kvcompose_unstructured",    "kvcompose(agg_task=mean, add_v_norm=true)"};

class SecondLook : public testing::Test {
 protected:
  SecondLook()
      : model_(random_model(test::small_config(3), {false, DType::f32}, 5)), tokens_(test::random_text(400).ids) {}

  std::span<const std::int32_t> tokens(std::size_t first, std::size_t n) const {
    return std::span(tokens_).subspan(first, n);
  }

  static std::int64_t held(const KVCache& cache) {
    return std::llround(cache.mean_tokens() * static_cast<double>(cache.shape().n_layers * cache.shape().n_kv_heads));
  }

  /// Every head in the order of the text, and nothing left of the replay.
  static void expect_sound(const KVCache& cache, std::int64_t n_seen) {
    for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
      for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
        std::int32_t last = -1;
        for (const std::int32_t position : cache.head(l, h).positions()) {
          EXPECT_GT(position, last);
          last = position;
        }
        EXPECT_LT(last, n_seen);
      }
    }
  }

  Model model_;
  std::vector<std::int32_t> tokens_;
};

TEST_F(SecondLook, HoldsTheBudgetBlockByBlock) {
  for (const char* press : kReplaying) {
    const NamedPress named = parse_press(press);
    Compressor compressor(named.plan({0.6, {}}));
    KVCache cache = compressor.make_cache(model_, DType::f32);
    std::size_t seen = 0;
    for (const std::size_t n : {110u, 1u, 63u, 120u}) {
      compressor.forward(model_, tokens(seen, n), cache, {});
      seen += n;
      const double all = 6.0 * static_cast<double>(seen);
      EXPECT_NEAR(static_cast<double>(held(cache)), all * 0.4, 3.0) << press << " after " << seen;
      expect_sound(cache, static_cast<std::int64_t>(seen));
    }
  }
}

TEST_F(SecondLook, TokensBetweenCompressionsAreScoredLater) {
  for (const char* press : kReplaying) {
    const NamedPress named = parse_press(press);
    Compressor compressor(named.plan({0.0, 64}));
    KVCache cache = compressor.make_cache(model_, DType::f32);
    compressor.forward(model_, tokens(0, 100), cache, {});
    EXPECT_EQ(held(cache), 6 * 64) << press;
    compressor.set_active(false);
    for (std::size_t i = 0; i < 30; ++i) compressor.forward(model_, tokens(100 + i, 1), cache, {});
    EXPECT_EQ(held(cache), 6 * 94) << press;
    compressor.set_active(true);
    compressor.forward(model_, tokens(130, 1), cache, {});
    EXPECT_EQ(held(cache), 6 * 64) << press;
    expect_sound(cache, 131);
    // Scored, all of them: a score of nothing would have lost against every other.
    int newest = 0;
    for (std::int64_t l = 0; l < 3; ++l) {
      for (const std::int32_t position : cache.head(l, 0).positions()) newest += position >= 100;
    }
    EXPECT_GT(newest, 5) << press;
  }
}

TEST_F(SecondLook, FirstTokensStayAndShortTextsAreNoError) {
  for (const char* press :
       {"kvzip(n_sink=6)", "kvzip_plus(n_sink=6)", "kvzip(n_sink=6, chunk_size=7, layerwise=true)"}) {
    for (const std::size_t n : {1u, 3u, 40u}) {
      const NamedPress named = parse_press(press);
      Compressor compressor(named.plan({0.8, {}}));
      KVCache cache = compressor.make_cache(model_, DType::f32);
      compressor.forward(model_, tokens(0, n), cache, {});
      expect_sound(cache, static_cast<std::int64_t>(n));
      if (n < 40) continue;
      for (std::int64_t l = 0; l < 3; ++l) {
        for (std::int64_t h = 0; h < 2; ++h) {
          const auto positions = cache.head(l, h).positions();
          ASSERT_GE(positions.size(), 6u) << press;
          EXPECT_EQ(positions[5], 5) << press;
        }
      }
    }
  }
}

TEST_F(SecondLook, OneLayerAtATimeHoldsTheReplay) {
  KVCache plain = model_.make_cache(DType::f32, 1);
  model_.forward({tokens(0, 400), 0, plain});
  for (const char* press : kReplaying) {
    const NamedPress named = parse_press(press);
    Compressor compressor(named.plan({0.5, {}}));
    KVCache cache = compressor.make_cache(model_, DType::f32);
    compressor.forward(model_, tokens(0, 400), cache, {});
    const double share = static_cast<double>(cache.peak_bytes()) / static_cast<double>(plain.peak_bytes());
    EXPECT_LT(share, 1.0 + 1.0 / 3 + 0.1) << press;
  }
}

TEST_F(SecondLook, OneThatDecodesScoresWhatTheOtherLeft) {
  for (const char* press : kReplaying) {
    const NamedPress before = parse_press("adakv(knorm)");
    const NamedPress after = parse_press(press);
    CompressionPlan plan = before.plan({0.5, {}});
    plan.decoding = after.press.get();
    plan.compression_interval = 8;
    plan.decoding_budget = {0.0, 30};
    Compressor compressor(plan);
    KVCache cache = compressor.make_cache(model_, DType::f32);
    compressor.forward(model_, tokens(0, 100), cache, {});
    EXPECT_EQ(held(cache), 6 * 50) << press;
    compressor.begin_decoding();
    for (std::size_t i = 0; i < 8; ++i) compressor.forward(model_, tokens(100 + i, 1), cache, {});
    EXPECT_EQ(held(cache), 6 * 30) << press;
    expect_sound(cache, 108);
  }
}

TEST_F(SecondLook, HeadsOfALayerStayEquallyLongWhereTheyMust) {
  const NamedPress named = parse_press("kvcompose(keep_token_lower_bound=20)");
  Compressor compressor(named.plan({0.7, {}}));
  KVCache cache = compressor.make_cache(model_, DType::f32);
  for (const std::size_t first : {0u, 100u, 200u}) {
    compressor.forward(model_, tokens(first, 100), cache, {});
    for (std::int64_t l = 0; l < 3; ++l) {
      EXPECT_EQ(cache.head(l, 0).size(), cache.head(l, 1).size());
      EXPECT_GE(cache.head(l, 0).size(), 20);
      EXPECT_LE(cache.head(l, 0).size(), cache.head(0, 0).size());
    }
  }
}

TEST_F(SecondLook, OneThreadKeepsWhatTwoKeep) {
  for (const char* press : kReplaying) {
    std::vector<std::vector<std::int32_t>> kept[2];
    for (int i = 0; i < 2; ++i) {
      set_threads(i + 1);
      const NamedPress named = parse_press(press);
      Compressor compressor(named.plan({0.5, {}}));
      KVCache cache = compressor.make_cache(model_, DType::f32);
      compressor.forward(model_, tokens(0, 200), cache, {});
      for (std::int64_t l = 0; l < 3; ++l) {
        const auto positions = cache.head(l, 1).positions();
        kept[i].emplace_back(positions.begin(), positions.end());
      }
    }
    EXPECT_EQ(kept[0], kept[1]) << press;
  }
  set_threads(0);
}

TEST_F(SecondLook, AHeadThatLostEverythingIsReadAndGrows) {
  KVCache cache = model_.make_cache(DType::f32);
  model_.forward({tokens(0, 40), 0, cache});
  std::vector<Scores> scores(3, Scores(2, AlignedVector<float>(40, 1.0f)));
  scores[1][0].assign(40, -1.0f);
  scores[2][0].assign(40, -1.0f);
  scores[2][1].assign(40, -1.0f);
  keep_best_of_all({model_, cache, tokens(0, 40), 40, {40, 20, 0.5, 0}}, scores, 120);
  EXPECT_EQ(held(cache), 120);
  EXPECT_EQ(cache.head(1, 0).size(), 0);
  EXPECT_EQ(cache.head(2, 0).size(), 0);
  EXPECT_EQ(cache.head(0, 0).size(), 40);
  const std::int64_t cols = model_.config().hidden_size;
  AlignedVector<float> hidden(static_cast<std::size_t>(3 * cols));
  model_.forward({tokens(40, 3), 40, cache, nullptr, {hidden.data(), 3, cols}});
  for (const float value : hidden) EXPECT_TRUE(std::isfinite(value));
  EXPECT_EQ(cache.head(1, 0).size(), 3);
  EXPECT_EQ(cache.head(1, 0).positions()[0], 40);
}

TEST(SecondLookParameters, AreChecked) {
  EXPECT_THROW(parse_press("kvzip(chunk_size=0)"), UsageError);
  EXPECT_THROW(parse_press("kvzip(n_sink=-1)"), UsageError);
  EXPECT_THROW(parse_press("kvzip_plus(kvzip_plus_normalization=false)"), UsageError);
  EXPECT_THROW(parse_press("adakv(kvzip)"), UsageError);
  EXPECT_THROW(parse_press("kvcompose(agg_task=median)"), UsageError);
  EXPECT_THROW(parse_press("kvcompose(keep_token_lower_bound=-1)"), UsageError);
  EXPECT_THROW(parse_press("kvcompose_unstructured(structured=true)"), UsageError);
  EXPECT_THROW(parse_press("fastkvzip(window_size=0)"), UsageError);
  EXPECT_THROW(parse_press("fastkvzip(window_ratio=1.5)"), UsageError);
}

}  // namespace
}  // namespace kvpress
