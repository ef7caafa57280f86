// Presses around a press: what parity with one prefill cannot show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/model/weights.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/registry.h"
#include "press/kit/critical_output.h"
#include "small_model.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

CompressionPlan down_to(std::int64_t n_kept, const Press& press) {
  CompressionPlan plan;
  plan.prefill = &press;
  plan.prefill_budget.target_size = n_kept;
  return plan;
}

class Shapes : public testing::Test {
 protected:
  Shapes() : model_(random_model(test::small_config(), {false, DType::f32}, 7)) {
    // Each token once: those of one kind tie in the first layer.
    tokens_.resize(500);
    std::iota(tokens_.begin(), tokens_.end(), 0);
    std::shuffle(tokens_.begin(), tokens_.end(), std::mt19937(3));
  }

  /// A cache that tokens go into, in blocks.
  struct Run {
    Model& model;
    std::unique_ptr<Compressor> compressor;
    KVCache cache;

    Run(Model& model_, const std::string& press, const Budget& budget)
        : model(model_),
          compressor(std::make_unique<Compressor>(parse_press(press).plan(budget))),
          cache(compressor->make_cache(model_, DType::f32)) {}

    void feed(std::span<const std::int32_t> tokens) {
      AlignedVector<float> last(static_cast<std::size_t>(model.config().hidden_size));
      compressor->forward(model, tokens, cache, {last.data(), 1, model.config().hidden_size});
    }
    std::vector<std::int32_t> kept(std::int64_t layer, std::int64_t head) const {
      const auto positions = cache.head(layer, head).positions();
      return {positions.begin(), positions.end()};
    }
  };
  Run start(const std::string& press, const Budget& budget) { return {model_, press, budget}; }
  std::span<const std::int32_t> tokens(std::size_t first, std::size_t n) const {
    return std::span(tokens_).subspan(first, n);
  }

  Model model_;
  std::vector<std::int32_t> tokens_;
};

// The keys, values and queries of the first layer know nothing of other tokens, and attention scores only of distances.
TEST_F(Shapes, AChunkIsCompressedAsATextOfItsOwn) {
  for (const std::string inner :
       {"knorm", "keydiff", "snapkv(window_size=8)", "tova", "expected_attention(n_sink=0)"}) {
    Run whole = start("chunk(" + inner + ", chunk_length=150)", {0.5, {}});
    whole.feed(tokens(0, 400));
    std::vector<std::int32_t> expected[2];
    for (std::size_t first = 0; first < 400; first += 150) {
      Run alone = start(inner, {0.5, {}});
      alone.feed(tokens(first, std::min<std::size_t>(150, 400 - first)));
      for (std::int64_t h = 0; h < 2; ++h) {
        for (const std::int32_t position : alone.kept(0, h)) {
          expected[h].push_back(position + static_cast<std::int32_t>(first));
        }
      }
    }
    for (std::int64_t h = 0; h < 2; ++h) EXPECT_EQ(whole.kept(0, h), expected[h]) << inner << ", head " << h;
  }
}

TEST_F(Shapes, BlocksAreCompressedAsATextThatComesInBlocks) {
  for (const std::string inner : {"knorm", "keydiff", "snapkv(window_size=8)", "tova"}) {
    Run whole = start("block(" + inner + ", block_size=50)", {0, 100});
    whole.feed(tokens(0, 420));
    Run blocks = start(inner, {0, 100});
    blocks.feed(tokens(0, 100));
    for (std::size_t first = 100; first < 420; first += 50) {
      blocks.feed(tokens(first, std::min<std::size_t>(50, 420 - first)));
    }
    for (std::int64_t h = 0; h < 2; ++h) EXPECT_EQ(whole.kept(0, h), blocks.kept(0, h)) << inner << ", head " << h;
  }
}

TEST_F(Shapes, EarlierChunksAreNotCutAgain) {
  // With a ratio every block leaves its share, and nothing of the blocks before is touched.
  Run run = start("chunk(knorm, chunk_length=40)", {0.5, {}});
  std::vector<std::int32_t> before;
  for (std::size_t first = 0; first < 480; first += 120) {
    run.feed(tokens(first, 120));
    const auto now = run.kept(1, 0);
    EXPECT_EQ(now.size(), (first + 120) / 2);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), now.begin())) << first;
    before = now;
  }
}

TEST_F(Shapes, ChunkTakesTokensOneByOneAndMeetsATarget) {
  for (const std::string press : {"chunk(snapkv, chunk_length=32)", "chunk(expected_attention, chunk_length=10)"}) {
    Run run = start(press, {0, 100});
    run.feed(tokens(0, 300));
    EXPECT_LE(run.cache.mean_tokens(), 100) << press;
    EXPECT_GE(run.cache.mean_tokens(), 90) << press;
    run.compressor->set_active(false);
    for (std::size_t i = 300; i < 340; ++i) run.feed(tokens(i, 1));
    run.compressor->set_active(true);
    run.feed(tokens(340, 1));
    EXPECT_LE(run.cache.mean_tokens(), 100) << press;
    EXPECT_GE(run.cache.mean_tokens(), 95) << press;  // each chunk's share is rounded down
    // Every stretch of what came last is still represented.
    for (std::int64_t h = 0; h < 2; ++h) {
      const auto kept = run.kept(0, h);
      EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [](auto p) { return p >= 300 && p < 341; })) << press;
    }
  }
}

TEST_F(Shapes, ScheduledRunsHoldTheBudget) {
  const std::vector<std::string> presses = {"critical(snapkv)",
                                            "critical(expected_attention)",
                                            "critical_adakv(snapkv)",
                                            "chunk(snapkv, chunk_length=64)",
                                            "entropy_gated_chunkkv",
                                            "entropy_gated_chunkkv(keydiff)",
                                            "block",
                                            "block(snapkv, block_size=30)",
                                            "block(critical(keydiff))",
                                            "chunk(critical(tova))"};
  for (const std::string& press : presses) {
    for (const std::int64_t target : {1, 7, 64, 250}) {
      Run run = start(press, {0, target});
      for (const std::size_t n : {200u, 1u, 130u, 3u, 64u}) {
        const auto first = static_cast<std::size_t>(run.cache.mean_tokens());
        run.feed(tokens(first % 300, n));
        for (std::int64_t l = 0; l < 2; ++l) {
          const double mean = 0.5 * static_cast<double>(run.cache.head(l, 0).size() + run.cache.head(l, 1).size());
          EXPECT_LE(mean, static_cast<double>(target)) << press;
        }
      }
    }
  }
}

TEST_F(Shapes, ChunkKVKeepsWholeChunksTheSameInAllHeads) {
  Run run = start("chunkkv(chunk_length=20)", {0.5, {}});
  std::size_t n_seen = 0;
  for (const std::size_t n : {130u, 7u, 128u, 1u, 100u}) {
    run.feed(tokens(n_seen, n));
    n_seen += n;
    for (std::int64_t l = 0; l < 2; ++l) {
      const auto kept = run.kept(l, 0);
      EXPECT_EQ(kept, run.kept(l, 1));
      EXPECT_LE(kept.size(), n_seen / 2 + 20);
    }
  }
  Run once = start("chunkkv(chunk_length=20)", {0.5, {}});
  once.feed(tokens(0, 250));
  const auto kept = once.kept(1, 0);
  EXPECT_TRUE(kept.size() == 120 || kept.size() == 110) << kept.size();  // 6 of 13 chunks, the last of 10
  for (std::size_t i = 0; i + 20 <= kept.size(); i += 20) {
    EXPECT_EQ(kept[i] % 20, 0);
    EXPECT_EQ(kept[i + 19], kept[i] + 19);
  }
}

/// A press after adakv, which leaves the heads different tokens.
class AfterAdaKV : public Editor<AfterAdaKV> {
 public:
  explicit AfterAdaKV(const std::string& press)
      : first_("", parse_press("adakv(keydiff, alpha_safeguard=0)").press->clone()),
        second_("", parse_press(press).press->clone()) {}
  PressNeeds needs() const override { return second_->needs(); }
  void observe(const LayerView& layer) override { second_->observe(layer); }
  void compress(const LayerView& layer) override {
    LayerView more{layer.block, layer.budget};
    more.budget.n_kept = layer.budget.n_kept * 2;
    first_->compress(more);
    const auto one = layer.head(0).positions();
    const auto other = layer.head(1).positions();
    EXPECT_FALSE(std::equal(one.begin(), one.end(), other.begin(), other.end()));
    second_->compress(layer);
  }

 private:
  InnerPress first_;
  InnerPress second_;
};

TEST_F(Shapes, HeadsThatDifferChooseEachForItself) {
  for (const std::string press : {"chunkkv(knorm, chunk_length=5)", "entropy_gated_chunkkv(knorm)", "chunk(knorm)",
                                  "chunk(snapkv(window_size=8), chunk_length=30)", "block(snapkv)",
                                  "critical_adakv(knorm)", "critical(snapkv)"}) {
    const AfterAdaKV both(press);
    Run run = start("knorm", {0, 60});
    run.compressor = std::make_unique<Compressor>(down_to(60, both));
    run.feed(tokens(0, 200));
    run.feed(tokens(200, 100));
    EXPECT_LE(run.cache.mean_tokens(), 65) << press;  // chunkkv counts in chunks
    EXPECT_GE(run.cache.mean_tokens(), 30) << press;
    EXPECT_NE(run.kept(1, 0), run.kept(1, 1)) << press;
  }
}

TEST_F(Shapes, WhatDoesNotGoInsideIsSaid) {
  const auto complaint = [](const std::string& text) -> std::string {
    try {
      parse_press(text).prepare({test::small_config(), "small"});
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  for (const std::string press : {"chunk", "block"}) {
    EXPECT_THAT(complaint(press + "(observed_attention)"),
                testing::AllOf(HasSubstr("press " + press), HasSubstr("observed_attention"), HasSubstr(" such as ")));
    EXPECT_THAT(complaint(press + "(adakv(knorm))"), HasSubstr("scores"));
  }
  EXPECT_THAT(complaint("chunk"), HasSubstr("inside"));
  EXPECT_THAT(complaint("critical"), HasSubstr("inside"));
  EXPECT_THAT(complaint("chunkkv(chunk_length=0)"), HasSubstr("below 1"));
  EXPECT_THAT(complaint("block(block_size=0)"), HasSubstr("below 1"));
  EXPECT_THAT(complaint("critical(knorm, first_stage_ratio=1.5)"), HasSubstr("above 1"));
  EXPECT_THAT(complaint("critical_adakv(knorm, epsilon=-1)"), HasSubstr("below 0"));
  EXPECT_THAT(complaint("entropy_gated_chunkkv(low_entropy_chunk_length=10)"),
              testing::AllOf(HasSubstr("low_entropy_chunk_length=10"), HasSubstr("chunk_length=10")));
  EXPECT_EQ(complaint("chunkkv"), "");
  EXPECT_EQ(complaint("entropy_gated_chunkkv"), "");
  EXPECT_EQ(complaint("block"), "");
}

/// Records output_norms() and computes the same by plain loops.
class NormProbe : public Scorer<NormProbe> {
 public:
  struct Found {
    Scores fast;
    Scores plain;
  };
  explicit NormProbe(Found* found) : found_(found) {}
  void score(const LayerView& layer, Scores& scores) override {
    for (auto& row : scores) std::fill(row.begin(), row.end(), 0.0f);
    const ModelConfig& config = layer.block.config;
    found_->fast = output_norms(layer);
    found_->plain = scores;
    const std::int64_t d = config.head_dim;
    const std::int64_t cols = config.n_heads * d;
    const std::int64_t group = config.n_heads / config.n_kv_heads;
    AlignedVector<float> weights(static_cast<std::size_t>(config.hidden_size * cols));
    layer.block.weights.attention_out_rows(0, config.hidden_size, weights.data());
    AlignedVector<float> value(static_cast<std::size_t>(d));
    for (std::int64_t q = 0; q < config.n_heads; ++q) {
      const KVHead& head = layer.head(q / group);
      for (std::int64_t j = 0; j < head.size(); ++j) {
        head.values_as_float(j, 1, value.data());
        double norm = 0;
        for (std::int64_t r = 0; r < config.hidden_size; ++r) {
          double sum = 0;
          for (std::int64_t c = 0; c < d; ++c) {
            sum += static_cast<double>(weights[static_cast<std::size_t>(r * cols + q * d + c)]) *
                   static_cast<double>(value[static_cast<std::size_t>(c)]);
          }
          norm += std::abs(sum);
        }
        found_->plain[static_cast<std::size_t>(q / group)][static_cast<std::size_t>(j)] +=
            static_cast<float>(norm / static_cast<double>(group));
      }
    }
  }

 private:
  Found* found_;
};

TEST_F(Shapes, OutputNormsAreThoseOfPlainLoops) {
  for (const DType type : {DType::f32, DType::bf16}) {
    Model model = random_model(test::small_config(), {false, type}, 7);
    NormProbe::Found found;
    const NormProbe probe(&found);
    Compressor compressor(down_to(10, probe));
    KVCache cache = compressor.make_cache(model, type);
    AlignedVector<float> last(static_cast<std::size_t>(model.config().hidden_size));
    compressor.forward(model, tokens(0, 75), cache, {last.data(), 1, model.config().hidden_size});
    // bfloat16: weights and values have 8 bits each; their errors mostly cancel over 192 x 32 products.
    const double tolerance = model.compute_type() == DType::bf16 ? 5e-3 : 1e-5;
    for (std::size_t h = 0; h < 2; ++h) {
      ASSERT_EQ(found.fast[h].size(), 75u);
      for (std::size_t j = 0; j < 75; ++j) {
        EXPECT_NEAR(found.fast[h][j] / found.plain[h][j], 1, tolerance) << to_string(type) << " " << h << " " << j;
      }
    }
  }
}

}  // namespace
}  // namespace kvpress
