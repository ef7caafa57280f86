// Which tokens heads keep, against closed forms and plain loops.
#include "kvpress/eval/kept_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "kvpress/base/error.h"
#include "small_model.h"

namespace kvpress {
namespace {

class KeptTokensOfModel : public testing::Test {
 protected:
  KeptTokensOfModel()
      : model_(random_model(test::small_config(3), {false, DType::f32}, 7)), text_(test::random_text(300)) {}
  KeptTokens kept(const std::string& press, double ratio, std::int64_t chunk_size = 0,
                  Positions positions = Positions::text) {
    CompressionSettings settings;
    settings.press = parse_press(press);
    settings.budget.ratio = ratio;
    settings.positions = positions;
    return kept_tokens(model_, text_.ids, settings, chunk_size);
  }

  Model model_;
  TokenizedText text_;
};

TEST_F(KeptTokensOfModel, StreamingLlmKeepsSinksAndTheNewest) {
  const KeptTokens at_once = kept("streaming_llm(n_sink=4)", 0.6);
  ASSERT_EQ(at_once.n_tokens, 300);
  ASSERT_EQ(at_once.heads.size(), 6u);
  std::vector<std::int32_t> expected = {0, 1, 2, 3};
  for (std::int32_t t = 300 - (120 - 4); t < 300; ++t) expected.push_back(t);
  for (const auto& it : at_once.heads) EXPECT_EQ(it, expected);
  // In chunks, and with positions counted in the cache, places are still those of the text.
  for (const Positions positions : {Positions::text, Positions::cache}) {
    const KeptTokens in_chunks = kept("streaming_llm(n_sink=4)", 0.6, 100, positions);
    for (const auto& it : in_chunks.heads) {
      EXPECT_TRUE(std::equal(it.begin(), it.begin() + 4, expected.begin()));
      EXPECT_EQ(it.size(), 120u);
      EXPECT_EQ(it.back(), 299);
    }
  }
}

/// A layer with a window is said to hold what the next token sees there, though it holds more, and is not counted.
TEST(KeptTokensOfWindows, ShowTheWindowAndAreNotCounted) {
  ModelConfig config = test::small_config(3);
  config.layers[1].window = 20;
  const Model model = random_model(config, {false, DType::f32}, 7);
  const TokenizedText text = test::random_text(300);
  CompressionSettings settings;
  settings.press = parse_press("streaming_llm(n_sink=4)");
  settings.budget.ratio = 0.6;
  const KeptTokens kept = kept_tokens(model, text.ids, settings, 100);
  EXPECT_EQ(kept.windows, (std::vector<std::int64_t>{0, 20, 0}));
  std::vector<std::int32_t> newest;
  for (std::int32_t t = 300 - 19; t < 300; ++t) newest.push_back(t);
  for (std::int64_t h = 0; h < 2; ++h) {
    EXPECT_EQ(kept.head(0, h).size(), 120u);
    EXPECT_EQ(kept.head(1, h), newest);
  }
  const KeptSummary summary = summary_of(kept);
  EXPECT_EQ(summary.n_heads, 4);
  EXPECT_EQ(kept.counted_layers(), (std::vector<std::int64_t>{0, 2}));
  EXPECT_NEAR(summary.share, 0.4, 1e-12);
  EXPECT_EQ(summary.smallest, 120);
  EXPECT_EQ(summary.by_all, 120);
  EXPECT_EQ(summary.share_of_first, 1);
  KeptTokens all_windows = kept;
  all_windows.windows = {20, 20, 20};
  EXPECT_EQ(summary_of(all_windows).n_heads, 6);
}

TEST_F(KeptTokensOfModel, ScoresAreThoseByWhichTokensWereKept) {
  for (const char* press : {"knorm", "snapkv(window_size=8)", "adakv(knorm)"}) {
    for (const std::int64_t chunk_size : {0, 100}) {
      CompressionSettings settings;
      settings.press = parse_press(press);
      settings.budget.ratio = 0.5;
      TokenScores scores;
      const KeptTokens kept = kept_tokens(model_, text_.ids, settings, chunk_size, {}, &scores);
      ASSERT_EQ(scores.heads.size(), kept.heads.size()) << press;
      bool some_were_gone = false;
      for (std::size_t i = 0; i < kept.heads.size(); ++i) {
        ASSERT_EQ(scores.heads[i].size(), 300u);
        // No token that was evicted at the last compression scored more than one that was kept.
        const std::set<std::int32_t> stayed(kept.heads[i].begin(), kept.heads[i].end());
        float worst_kept = std::numeric_limits<float>::infinity();
        float best_evicted = -std::numeric_limits<float>::infinity();
        for (std::int32_t t = 0; t < 300; ++t) {
          const float score = scores.heads[i][static_cast<std::size_t>(t)];
          some_were_gone = some_were_gone || std::isnan(score);
          if (std::isnan(score)) continue;
          if (stayed.count(t) != 0) worst_kept = std::min(worst_kept, score);
          if (stayed.count(t) == 0) best_evicted = std::max(best_evicted, score);
        }
        EXPECT_GE(worst_kept, best_evicted) << press << ", head " << i;
      }
      EXPECT_EQ(some_were_gone, chunk_size > 0) << press;
    }
  }
  TokenScores none;
  CompressionSettings settings;
  settings.press = parse_press("streaming_llm");
  kept_tokens(model_, text_.ids, settings, 0, {}, &none);  // a ratio of 0: nobody is asked
  EXPECT_TRUE(none.heads.empty());
}

TEST_F(KeptTokensOfModel, EverythingStaysWithoutAPressOrARatio) {
  for (const KeptTokens& it : {kept("no_press", 0.5), kept("snapkv", 0)}) {
    for (const auto& positions : it.heads) {
      ASSERT_EQ(positions.size(), 300u);
      for (std::int32_t t = 0; t < 300; ++t) EXPECT_EQ(positions[static_cast<std::size_t>(t)], t);
    }
    const KeptSummary summary = summary_of(it);
    EXPECT_EQ(summary.by_all, 300);
    EXPECT_EQ(summary.by_none, 0);
    EXPECT_EQ(summary.overlap, 1);
    EXPECT_EQ(summary.overlap_by_chance, 1);
  }
}

TEST_F(KeptTokensOfModel, RaggedHeadsDiffer) {
  const KeptTokens it = kept("adakv(snapkv(window_size=16))", 0.5);
  std::size_t total = 0;
  std::set<std::size_t> sizes;
  for (const auto& positions : it.heads) {
    total += positions.size();
    sizes.insert(positions.size());
    EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
  }
  EXPECT_EQ(total, 6u * 150u) << "a layer's heads share its budget";
  EXPECT_GT(sizes.size(), 1u);
  const KeptSummary summary = summary_of(it);
  EXPECT_EQ(static_cast<std::size_t>(summary.smallest), *sizes.begin());
  EXPECT_EQ(static_cast<std::size_t>(summary.largest), *sizes.rbegin());
  EXPECT_GE(summary.share_of_last, 16.0 / 64) << "snapkv's window stays";
}

TEST_F(KeptTokensOfModel, AnEmptyTextIsRefused) {
  text_.ids.clear();
  EXPECT_THROW(kept("knorm", 0.5), UsageError);
}

/// The definitions, as they are written in the header.
KeptSummary plain_summary(const KeptTokens& kept) {
  KeptSummary s;
  const auto n_heads = static_cast<std::int64_t>(kept.heads.size());
  const auto holds = [&](std::int64_t head, std::int64_t token) {
    const auto& it = kept.heads[static_cast<std::size_t>(head)];
    return std::find(it.begin(), it.end(), token) != it.end();
  };
  s.smallest = kept.n_tokens;
  std::int64_t total = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  for (std::int64_t h = 0; h < n_heads; ++h) {
    std::int64_t size = 0;
    for (std::int64_t t = 0; t < kept.n_tokens; ++t) {
      if (!holds(h, t)) continue;
      ++size;
      if (t < 4) ++first;
      if (t >= kept.n_tokens - 64) ++last;
    }
    total += size;
    s.smallest = std::min(s.smallest, size);
    s.largest = std::max(s.largest, size);
  }
  const auto per = [&](std::int64_t sum, std::int64_t of) {
    return static_cast<double>(sum) / static_cast<double>(of * n_heads);
  };
  s.share = per(total, kept.n_tokens);
  s.share_of_first = per(first, std::min<std::int64_t>(4, kept.n_tokens));
  s.share_of_last = per(last, std::min<std::int64_t>(64, kept.n_tokens));
  for (std::int64_t t = 0; t < kept.n_tokens; ++t) {
    std::int64_t n = 0;
    for (std::int64_t h = 0; h < n_heads; ++h) n += holds(h, t);
    s.by_all += n == n_heads;
    s.by_none += n == 0;
  }
  double sum = 0, sum_in_layers = 0;
  std::int64_t pairs = 0, pairs_in_layers = 0;
  for (std::int64_t a = 0; a < n_heads; ++a) {
    for (std::int64_t b = 0; b < a; ++b) {
      std::int64_t both = 0, either = 0;
      for (std::int64_t t = 0; t < kept.n_tokens; ++t) {
        both += holds(a, t) && holds(b, t);
        either += holds(a, t) || holds(b, t);
      }
      const double jaccard = either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
      sum += jaccard;
      ++pairs;
      if (a / kept.n_kv_heads != b / kept.n_kv_heads) continue;
      sum_in_layers += jaccard;
      ++pairs_in_layers;
    }
  }
  s.overlap = pairs == 0 ? 1 : sum / static_cast<double>(pairs);
  s.overlap_in_layers = pairs_in_layers == 0 ? 1 : sum_in_layers / static_cast<double>(pairs_in_layers);
  return s;
}

TEST(KeptSummary, IsWhatPlainLoopsCount) {
  std::mt19937 random(3);
  struct Shape {
    std::int64_t n_tokens, n_layers, n_kv_heads;
  };
  for (const auto& [n, layers, heads] :
       {Shape{200, 3, 2}, Shape{64, 2, 1}, Shape{1, 1, 1}, Shape{3, 1, 4}, Shape{129, 2, 3}}) {
    KeptTokens kept{n, layers, heads, {}};
    for (std::int64_t i = 0; i < layers * heads; ++i) {
      auto& it = kept.heads.emplace_back();
      const auto share = static_cast<std::uint32_t>(random() % 100);
      for (std::int32_t t = 0; t < n; ++t) {
        if (random() % 100 < share) it.push_back(t);
      }
    }
    kept.heads.back().clear();  // an empty head
    const KeptSummary s = summary_of(kept);
    const KeptSummary plain = plain_summary(kept);
    EXPECT_NEAR(s.share, plain.share, 1e-12);
    EXPECT_EQ(s.smallest, plain.smallest);
    EXPECT_EQ(s.largest, plain.largest);
    EXPECT_EQ(s.by_all, plain.by_all);
    EXPECT_EQ(s.by_none, plain.by_none);
    EXPECT_NEAR(s.share_of_first, plain.share_of_first, 1e-12);
    EXPECT_NEAR(s.share_of_last, plain.share_of_last, 1e-12);
    EXPECT_NEAR(s.overlap, plain.overlap, 1e-12);
    EXPECT_NEAR(s.overlap_in_layers, plain.overlap_in_layers, 1e-12);
  }
}

TEST(KeptSummary, ChanceComesToItsFormula) {
  std::mt19937 random(9);
  for (const double share : {0.25, 0.5, 0.9}) {
    KeptTokens kept{20'000, 2, 2, {}};
    for (int h = 0; h < 4; ++h) {
      auto& it = kept.heads.emplace_back();
      for (std::int32_t t = 0; t < 20'000; ++t) {
        if (std::uniform_real_distribution<double>()(random) < share) it.push_back(t);
      }
    }
    const KeptSummary s = summary_of(kept);
    // Standard error of a share of 20,000 draws: at most 0.0036.
    EXPECT_NEAR(s.overlap, s.overlap_by_chance, 0.015) << share;
  }
}

}  // namespace
}  // namespace kvpress
