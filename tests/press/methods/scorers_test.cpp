// Scorers of keys, values and chunks where parity with kvpress does not reach: input on which it divides by zero or
// refuses, heads that hold different tokens, and blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kvpress/model/weights.h"
#include "kvpress/press/registry.h"
#include "ops/random.h"

namespace kvpress {
namespace {

constexpr std::int64_t kDim = 8;

/// One layer of two KV heads and four query heads, filled by hand.
class Layer {
 public:
  explicit Layer(std::int64_t n_carried) : cache({1, 2, kDim, DType::f32, n_carried}) {
    config.n_heads = 4;
    config.n_kv_heads = 2;
    config.head_dim = kDim;
    config.set_layers(1, {});
    config.layers[0].rope.inverse_frequencies = rope_frequencies(kDim, 10000.0);
    rope = Rope(config.layers[0].rope.inverse_frequencies);
  }

  /// Appends a block; with `constant`, all keys and values are ones.
  LayerView add(std::int64_t n, bool constant = false) {
    rope.prepare(n_seen + n);
    cache.extend(0, n, n_seen);
    const std::vector<float> ones(static_cast<std::size_t>(kDim), 1.0f);
    for (std::int64_t h = 0; h < 2; ++h) {
      const auto keys = testing::random_values(n * kDim, static_cast<std::uint32_t>(100 + 10 * n_seen + h));
      const auto values = testing::random_values(n * kDim, static_cast<std::uint32_t>(900 + 10 * n_seen + h));
      for (std::int64_t j = 0; j < n; ++j) {
        cache.write_row(0, h, cache.head(0, h).size() - n + j, constant ? ones.data() : keys.data() + j * kDim,
                        constant ? ones.data() : values.data() + j * kDim);
      }
    }
    queries = testing::random_values(n * 4 * kDim, static_cast<std::uint32_t>(7 + n_seen));
    n_new = n;
    n_seen += n;
    return view();
  }

  LayerView view() {
    const Matrix<const float> rows(queries.data(), n_new, 4 * kDim);
    block.emplace_back(
        new AttentionBlock{0, n_seen - n_new, n_new, config, weights, rope, {}, rows, rows, nullptr, cache});
    LayerView it{*block.back(), {n_seen, std::max<std::int64_t>(1, n_seen / 2), 0.5, 0}};
    return it;
  }

  ModelConfig config;
  LayerWeights weights;
  Rope rope;
  KVCache cache;
  std::vector<float> queries;
  std::int64_t n_new = 0;
  std::int64_t n_seen = 0;
  std::vector<std::unique_ptr<AttentionBlock>> block;
};

constexpr const char* kPresses[] = {
    "lagkv(lag_size=8)",
    "lagkv(lag_size=8, cross_scoring=true)",
    "cur",
    "cur(use_random_leverage=true)",
    "leverage",
    "cap",
    "non_causal_attention(chunk_size=10)",
    "compactor(chunk_size=10)",
};

TEST(Scorers, ConstantAndShortInputGivesFiniteScores) {
  for (const char* text : kPresses) {
    for (const std::int64_t n : {1, 3, 11, 40}) {
      for (const bool constant : {false, true}) {
        const auto press = parse_press(text).press->clone();
        Layer layer(press->needs().n_carried);
        const LayerView view = layer.add(n, constant);
        press->observe(view);
        for (const auto& row : scores_of(*press, view)) {
          EXPECT_EQ(row.size(), static_cast<std::size_t>(n));
          for (const float value : row) EXPECT_TRUE(std::isfinite(value)) << text << " " << n;
        }
      }
    }
  }
}

TEST(Scorers, HeadsOfDifferentLengthsAndBudgetsBeyondThem) {
  for (const char* text : kPresses) {
    const auto press = parse_press(text).press->clone();
    Layer layer(press->needs().n_carried);
    press->observe(layer.add(60));
    layer.view().keep({{0, 1, 2, 30, 31, 59}, {}});
    LayerView view = layer.add(9);
    press->observe(view);
    ASSERT_EQ(view.head(0).size(), 15);
    ASSERT_EQ(view.head(1).size(), 9);
    for (const std::int64_t n_kept : {2, 12, 100}) {
      view.budget.n_kept = n_kept;
      const Kept kept = press->select(view);
      if (kept.empty()) {
        EXPECT_EQ(n_kept, 100) << text;
        continue;
      }
      EXPECT_EQ(static_cast<std::int64_t>(kept[0].size()), std::min<std::int64_t>(n_kept, 15)) << text;
      EXPECT_EQ(static_cast<std::int64_t>(kept[1].size()), std::min<std::int64_t>(n_kept, 9)) << text;
    }
  }
}

/// What a block's tokens carry, in one chunk: a plain loop.
TEST(ChunkAttention, IsThatOfAllQueriesOfTheChunkWithoutAMask) {
  const auto press = parse_press("non_causal_attention(chunk_size=100)").press->clone();
  Layer layer(1);
  press->observe(layer.add(20));
  const LayerView view = layer.add(70);
  press->observe(view);
  for (std::int64_t h = 0; h < 2; ++h) {
    std::vector<float> keys(90 * kDim);
    std::vector<float> values(90 * kDim);
    view.head(h).keys_as_float(0, 90, keys.data());
    view.head(h).values_as_float(0, 90, values.data());
    std::vector<double> sums(90, 0.0);
    for (std::int64_t t = 0; t < 70; ++t) {
      for (std::int64_t q = 2 * h; q < 2 * h + 2; ++q) {
        std::vector<double> weights(90, 0.0);
        double total = 0;
        for (std::int64_t j = 20; j < 90; ++j) {
          double logit = 0;
          for (std::int64_t c = 0; c < kDim; ++c) {
            logit += double{layer.queries[static_cast<std::size_t>((t * 4 + q) * kDim + c)]} *
                     keys[static_cast<std::size_t>(j * kDim + c)];
          }
          total += weights[static_cast<std::size_t>(j)] = std::exp(logit);
        }
        for (std::size_t j = 0; j < 90; ++j) sums[j] += weights[j] / total / 2;
      }
    }
    for (std::size_t j = 20; j < 90; ++j) {
      double square = 0;
      for (std::size_t c = 0; c < kDim; ++c) square += std::pow(values[j * kDim + c], 2);
      const double expected = sums[j] * std::sqrt(square);
      EXPECT_NEAR(view.carried(h, 0)[j], expected, 1e-4 * (1 + expected)) << h << " " << j;
    }
    EXPECT_GT(view.carried(h, 0)[0], 0);  // of the block before
  }
}

TEST(ChunkAttention, CompactorsLastTokensAreScoredForWhenOthersFollow) {
  const auto press = parse_press("compactor(sink_size_start=3, chunk_size=10)").press->clone();
  Layer layer(1);
  const LayerView view = layer.add(40);
  press->observe(view);
  for (std::size_t j = 0; j < 3; ++j) EXPECT_EQ(view.carried(0, 0)[j], 0);
  for (std::size_t j = 3; j < 40; ++j) EXPECT_GT(view.carried(0, 0)[j], 0) << j;
}

TEST(Compactor, TheRatioIsTheBlendingUnlessGiven) {
  const auto scores = [](const char* text, double ratio) {
    const auto press = parse_press(text).press->clone();
    Layer layer(1);
    LayerView view = layer.add(50);
    view.budget.ratio = ratio;
    press->observe(view);
    return scores_of(*press, view);
  };
  EXPECT_EQ(scores("compactor", 0.25), scores("compactor(blending=0.25)", 0.5));
  EXPECT_NE(scores("compactor", 0.25), scores("compactor", 0.5));
}

/// Leverage sees keys before RoPE: the same text further on in the positions scores alike, and one whose turned
/// channels have a factor.
TEST(Leverage, DoesNotDependOnPositions) {
  const auto scores = [](std::int64_t begin, float factor = 1) {
    const auto press = parse_press("leverage").press->clone();
    Layer layer(0);
    layer.config.layers[0].rope.attention_factor = factor;
    layer.n_seen = begin;
    layer.rope.prepare(begin + 40);
    layer.cache.extend(0, 40, begin);
    for (std::int64_t h = 0; h < 2; ++h) {
      auto keys = testing::random_values(40 * kDim, static_cast<std::uint32_t>(5 + h));
      for (std::int64_t j = 0; j < 40; ++j) {
        float* const key = keys.data() + j * kDim;
        layer.rope.apply(key, begin + j);
        for (std::int64_t c = 0; c < layer.rope.rotary_dim(); ++c) key[c] *= factor;
        layer.cache.write_row(0, h, j, keys.data() + j * kDim, keys.data() + j * kDim);
      }
    }
    layer.n_new = 40;
    layer.queries.assign(40 * 4 * kDim, 0.0f);
    layer.n_seen += 40;
    return scores_of(*press, layer.view());
  };
  const Scores near = scores(0);
  const Scores far = scores(700);
  const Scores scaled = scores(700, 1.5f);
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t j = 0; j < 40; ++j) {
      EXPECT_NEAR(near[h][j], far[h][j], 1e-3);
      EXPECT_NEAR(near[h][j], scaled[h][j], 1e-3);
    }
  }
}

}  // namespace
}  // namespace kvpress
