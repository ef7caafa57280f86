// Presses whose budgets differ from layer to layer, head to head or text to text: what they keep of texts that come in
// one block, in several, or token by token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "test_data.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

/// A random model of four layers with three KV heads, and a text of random tokens.
class Budgets : public testing::Test {
 protected:
  Budgets() : model_(config(), {false, DType::f32}, 7) {
    std::mt19937 random(3);
    for (int i = 0; i < 400; ++i) tokens_.push_back(static_cast<std::int32_t>(random() % 500));
  }

  static ModelConfig config() {
    ModelConfig config = named_shape("smollm2-135m");
    config.n_layers = 4;
    config.hidden_size = 192;
    config.n_heads = 6;
    config.n_kv_heads = 3;
    config.intermediate_size = 256;
    config.vocab_size = 500;
    return config;
  }

  std::string complaint(const std::string& press) {
    try {
      parse_press(press).press->prepare({model_.config(), "model", nullptr});
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }

  /// The cache after so many tokens in blocks of `block`, compressed after each.
  KVCache run(const std::string& text, const Budget& budget, std::int64_t n, std::int64_t block) {
    const NamedPress press = parse_press(text);
    press.press->prepare({model_.config(), "model", nullptr});
    Compressor compressor(press.plan(budget));
    KVCache cache = compressor.make_cache(model_, DType::f32);
    feed(compressor, cache, 0, n, block);
    return cache;
  }

  void feed(Compressor& compressor, KVCache& cache, std::int64_t first, std::int64_t n, std::int64_t block) {
    AlignedVector<float> state(static_cast<std::size_t>(model_.config().hidden_size));
    for (std::int64_t at = first; at < first + n; at += block) {
      compressor.forward(model_,
                         std::span(tokens_).subspan(static_cast<std::size_t>(at),
                                                    static_cast<std::size_t>(std::min(block, first + n - at))),
                         cache, {state.data(), 1, model_.config().hidden_size});
    }
  }

  static std::vector<std::int64_t> sizes(const KVCache& cache, std::int64_t head = 0) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) sizes.push_back(cache.head(l, head).size());
    return sizes;
  }
  static std::vector<std::int32_t> positions(const KVCache& cache, std::int64_t layer, std::int64_t head) {
    const auto positions = cache.head(layer, head).positions();
    return {positions.begin(), positions.end()};
  }

  Model model_;
  std::vector<std::int32_t> tokens_;
};

TEST_F(Budgets, PyramidFallsFromLayerToLayerAndHoldsTheBudgetOnAverage) {
  // 100 of 400 to keep with beta 4: from 175 to 25.
  EXPECT_EQ(sizes(run("pyramidkv(window_size=16, beta=4)", {0.75, {}}, 400, 400)),
            (std::vector<std::int64_t>{175, 125, 75, 25}));
  // The last layer would get 10, less than its window: all the same.
  EXPECT_EQ(sizes(run("pyramidkv(window_size=16, beta=10)", {0.75, {}}, 400, 400)), std::vector<std::int64_t>(4, 100));
  // max is what the window leaves of the text: 200 - 16.
  EXPECT_EQ(sizes(run("pyramidkv(window_size=16, beta=20)", {0.375, {}}, 200, 200)),
            (std::vector<std::int64_t>{184, 145, 105, 66}));
}

TEST_F(Budgets, PyramidHoldsInBlocksAndWhileDecoding) {
  EXPECT_EQ(sizes(run("pyramidkv(window_size=16, beta=4)", {0.75, {}}, 400, 100)),
            (std::vector<std::int64_t>{175, 125, 75, 25}));
  const NamedPress press = parse_press("pyramidkv(window_size=16, beta=4)");
  Compressor compressor(press.plan({0.5, {}}, 1, 60));
  KVCache cache = compressor.make_cache(model_, DType::f32);
  feed(compressor, cache, 0, 100, 100);
  EXPECT_EQ(sizes(cache, 1), (std::vector<std::int64_t>{84, 61, 39, 16}));  // min is 100 - 84 = 16, the window
  compressor.begin_decoding();
  feed(compressor, cache, 100, 100, 1);
  // 60 of 200 on average: min 15 is below the window, so 60 in every layer.
  EXPECT_EQ(sizes(cache, 2), std::vector<std::int64_t>(4, 60));
}

TEST_F(Budgets, SimLayerDecidesByTheTextAlone) {
  EXPECT_EQ(sizes(run("simlayerkv", {0.5, {}}, 400, 100)), std::vector<std::int64_t>(4, 400));  // threshold 1
  const std::string all_lazy = "simlayerkv(lazy_threshold=0, n_last=4, n_recent=30, n_initial=5)";
  for (const double ratio : {0.1, 0.9}) {
    for (const std::int64_t block : {400, 100, 7}) {
      const KVCache cache = run(all_lazy, {ratio, {}}, 400, block);
      // Compressed as soon as more than 39 are there, down to 5 + 26.
      EXPECT_LE(cache.head(3, 2).size(), 39);
      const auto kept = positions(cache, 3, 2);
      ASSERT_GE(kept.size(), 31u);
      EXPECT_EQ(kept[4], 4);
      EXPECT_EQ(kept[5], 400 - static_cast<std::int32_t>(kept.size()) + 5);
    }
  }
  // As many recent ones as queries: only the first tokens stay (kvpress 0.5.5 keeps everything there).
  EXPECT_EQ(sizes(run("simlayerkv(lazy_threshold=0, n_last=8, n_recent=8)", {0.5, {}}, 400, 400)),
            std::vector<std::int64_t>(4, 4));
  EXPECT_EQ(sizes(run("simlayerkv(lazy_threshold=0, n_last=8, n_recent=4, n_initial=0)", {0.5, {}}, 400, 400)),
            std::vector<std::int64_t>(4, 1));
  // A text that is not longer than what would stay.
  EXPECT_EQ(sizes(run(all_lazy, {0.5, {}}, 39, 39)), std::vector<std::int64_t>(4, 39));
}

TEST_F(Budgets, PerLayerGivesEachLayerItsRatio) {
  const std::string press = "per_layer(snapkv(window_size=16), compression_ratios=[0, 0.25, 0.5, 0.9])";
  for (const std::int64_t block : {400, 100}) {
    EXPECT_EQ(sizes(run(press, {0.3, {}}, 400, block)), (std::vector<std::int64_t>{400, 300, 200, 39}));
  }
  // int(400 * (1 - 0.9)) is 39 in doubles; the press inside may share out its layer's budget.
  const KVCache shared = run("per_layer(adakv(knorm), compression_ratios=[0, 0, 0, 0.5])", {0.3, {}}, 400, 400);
  EXPECT_EQ(shared.head(3, 0).size() + shared.head(3, 1).size() + shared.head(3, 2).size(), 600);
  EXPECT_EQ(complaint("per_layer(knorm, compression_ratios=[0.5, 0.5, 0.5])"),
            "press per_layer: 3 ratios for a model of 4 layers; write compression_ratios=[...], one for each");
  EXPECT_THAT(complaint("per_layer(knorm)"), HasSubstr("0 ratios"));
  EXPECT_THAT(complaint("per_layer(knorm, compression_ratios=[1, 0, 0, 0])"), HasSubstr("above"));
  EXPECT_THAT(complaint("per_layer(compression_ratios=[0, 0, 0, 0])"), HasSubstr("inside"));
}

}  // namespace
}  // namespace kvpress
