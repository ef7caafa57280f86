// Presses whose budgets differ from layer to layer, head to head or text to text: what they keep of texts that come in
// one block, in several, or token by token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "kvpress/base/error.h"
#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

/// A random model of four layers with three KV heads, and a text of random tokens.
class Budgets : public testing::Test {
 protected:
  Budgets()
      : model_(random_model(test::small_config(4, 3), {false, DType::f32}, 7)), tokens_(test::random_text(400).ids) {}

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
  Compressor compressor(press.plan({0.5, {}}, 1, Budget::of_tokens(60)));
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
            "press per_layer: 3 ratios for a model of 4 layers; write compression_ratios=[...] with one per layer");
  EXPECT_THAT(complaint("per_layer(knorm)"), HasSubstr("0 ratios"));
  EXPECT_THAT(complaint("per_layer(knorm, compression_ratios=[1, 0, 0, 0])"), HasSubstr("above"));
  EXPECT_THAT(complaint("per_layer(compression_ratios=[0, 0, 0, 0])"), HasSubstr("inside"));
}

TEST_F(Budgets, LukvLooksUpEachHeadsShare) {
  std::vector<float> curves;
  for (int percent = 1; percent <= 99; ++percent) {
    for (int head = 0; head < 4 * 3; ++head) {
      // Heads that give up half the share, the share, and a half more, of as much as there is.
      const double ratio = percent / 100.0;
      curves.push_back(static_cast<float>(ratio + (head % 3 - 1) * 0.5 * std::min(ratio, 1 - ratio)));
    }
  }
  const auto folder = std::filesystem::path(testing::TempDir());
  const std::string good = (folder / "lukv_good.safetensors").string();
  const std::string wrong = (folder / "lukv_wrong.safetensors").string();
  const std::string other = (folder / "lukv_other.safetensors").string();
  write_safetensors(good, std::vector<NamedTensor>{{"curves", {99, 4, 3}, curves}});
  write_safetensors(wrong, std::vector<NamedTensor>{{"curves", {99, 3, 4}, curves}});
  write_safetensors(other, std::vector<NamedTensor>{{"budgets", {99, 4, 3}, curves}});
  const std::string press = "lukv(knorm, sink=3, window=2, file=" + good + ")";
  for (const std::int64_t block : {400, 100}) {
    const KVCache cache = run(press, {0.5, {}}, 400, block);
    EXPECT_EQ(sizes(cache, 0), std::vector<std::int64_t>(4, 300));
    EXPECT_EQ(sizes(cache, 1), std::vector<std::int64_t>(4, 200));
    EXPECT_EQ(sizes(cache, 2), std::vector<std::int64_t>(4, 100));
    EXPECT_THAT(positions(cache, 1, 2), testing::IsSupersetOf({0, 1, 2, 398, 399}));
  }
  // Fewer than always stay; and a fixed number of tokens.
  EXPECT_EQ(positions(run("lukv(knorm, sink=3, file=" + good + ")", {0.995, {}}, 200, 200), 0, 1),
            (std::vector<std::int32_t>{2}));
  EXPECT_EQ(sizes(run(press, {0, 100}, 400, 80), 1), std::vector<std::int64_t>(4, 100));
  EXPECT_THAT(complaint("lukv"), HasSubstr("needs file=FILE"));
  EXPECT_THAT(complaint("lukv(file=/no/such.safetensors)"), HasSubstr("no such file"));
  EXPECT_THAT(complaint("lukv(file=" + wrong + ")"), HasSubstr("is [99, 3, 4]; the model needs [99, 4, 3]"));
  EXPECT_THAT(complaint("lukv(file=" + other + ")"), HasSubstr("no tensor curves"));
  EXPECT_THAT(complaint("lukv(adakv(knorm), file=" + good + ")"), HasSubstr("a press that scores"));
}

TEST_F(Budgets, DmsJudgesEachTokenOnceByItsBlock) {
  // The median of the first layer's scores.
  const KVCache full = run("dms(knorm, threshold=-1e9)", {0.5, {}}, 400, 400);
  EXPECT_EQ(sizes(full), std::vector<std::int64_t>(4, 400));
  const std::int64_t d = model_.config().head_dim;
  std::vector<float> keys(static_cast<std::size_t>(400 * d));
  full.head(0, 0).keys_as_float(0, 400, keys.data());
  std::vector<double> scores;
  for (std::int64_t j = 0; j < 400; ++j) {
    const auto key = keys.begin() + j * d;
    scores.push_back(-std::sqrt(std::inner_product(key, key + d, key, 0.0)));
  }
  std::nth_element(scores.begin(), scores.begin() + 200, scores.end());
  const std::string press = "dms(knorm, threshold=" + std::to_string(scores[200]) + ", sliding_window_size=50)";
  const KVCache once = run(press, {0.5, {}}, 400, 400);
  std::int64_t held = 0;
  for (std::int64_t h = 0; h < 3; ++h) {
    held += once.head(0, h).size();
    const auto kept = positions(once, 0, h);
    EXPECT_EQ(kept[kept.size() - 50], 350);  // the window is whole
  }
  EXPECT_GT(held, 200);  // some go, not all
  EXPECT_LT(held, 1100);
  // A key's norm does not depend on the block: with a press for which that holds, blocks change nothing in the first
  // layer, whose keys they do not change either; nor does the ratio.
  for (const std::int64_t block : {100, 33}) {
    const KVCache blocks = run(press, {0.9, {}}, 400, block);
    for (std::int64_t h = 0; h < 3; ++h) EXPECT_EQ(positions(blocks, 0, h), positions(once, 0, h));
  }
  // While decoding, tokens that leave the window are judged as they go.
  const NamedPress named = parse_press(press);
  Compressor compressor(named.plan({0.5, {}}, 1, Budget::of_tokens(10)));
  KVCache cache = compressor.make_cache(model_, DType::f32);
  feed(compressor, cache, 0, 300, 300);
  compressor.begin_decoding();
  feed(compressor, cache, 300, 100, 1);
  for (std::int64_t h = 0; h < 3; ++h) EXPECT_EQ(positions(cache, 0, h), positions(once, 0, h));
  // A press that carries floats of its own and counts what came before.
  EXPECT_NO_THROW(run("dms(observed_attention, threshold=0.01)", {0.5, {}}, 400, 90));
  EXPECT_NO_THROW(run("dms(snapkv(window_size=64), threshold=0.01, sliding_window_size=0)", {0.5, {}}, 400, 30));
  EXPECT_EQ(complaint("dms(knorm)"),
            "press dms: threshold is missing; write dms(knorm, threshold=X), where entries that knorm scores below X "
            "are evicted");
  EXPECT_THAT(complaint("dms(threshold=1)"), HasSubstr("inside"));
  EXPECT_THAT(complaint("dms(adakv(knorm), threshold=1)"), HasSubstr("a press that scores"));
}

TEST_F(Budgets, ComposedPressesReachTheBudgetTogether) {
  const std::string threshold = "dms(keydiff, threshold=-0.2, sliding_window_size=8)";
  for (const std::string& press :
       {std::string("composed(snapkv(window_size=16), knorm)"), std::string("composed(knorm, keydiff, tova)"),
        std::string("composed(tova)"), "composed(observed_attention, " + threshold + ", knorm)",
        std::string("composed(adakv(expected_attention), knorm, snapkv(window_size=8))")}) {
    SCOPED_TRACE(press);
    for (const std::int64_t block : {400, 100}) {
      const KVCache cache = run(press, {0.75, {}}, 400, block);
      for (std::int64_t l = 0; l < 4; ++l) {
        for (std::int64_t h = 0; h < 3; ++h) EXPECT_LE(cache.head(l, h).size(), 100);
      }
      if (press.find("adakv") == std::string::npos && press.find("dms") == std::string::npos) {
        for (std::int64_t h = 0; h < 3; ++h) EXPECT_EQ(sizes(cache, h), std::vector<std::int64_t>(4, 100));
      }
    }
  }
  // AdaKV's share is half of the way: 400 * 0.25^(1/2) entries a head, as the heads like it.
  const KVCache shared = run("composed(knorm, adakv(knorm))", {0.75, {}}, 400, 400);
  EXPECT_EQ(shared.head(0, 0).size() + shared.head(0, 1).size() + shared.head(0, 2).size(), 300);
  // Two that carry floats beside the tokens: each finds its own. The one that changes nothing does not disturb.
  const std::string idle = "dms(knorm, threshold=-1e9)";
  const KVCache alone = run("dms(keydiff, threshold=-0.2, sliding_window_size=8)", {0.5, {}}, 400, 100);
  for (const std::string& press :
       {"composed(" + idle + ", " + threshold + ")", "composed(" + threshold + ", " + idle + ")"}) {
    const KVCache both = run(press, {0.5, {}}, 400, 100);
    for (std::int64_t h = 0; h < 3; ++h) EXPECT_EQ(positions(both, 2, h), positions(alone, 2, h)) << press;
  }
  EXPECT_LT(alone.head(2, 0).size(), 390);
  // A wrapper around a press that goes by a threshold goes by it as well: the other gets the whole way.
  const KVCache wrapped =
      run("composed(snapkv(window_size=16), key_rerotation(dms(knorm, threshold=-1e9)))", {0.75, {}}, 400, 400);
  for (std::int64_t h = 0; h < 3; ++h) EXPECT_EQ(sizes(wrapped, h), std::vector<std::int64_t>(4, 100));
  EXPECT_THAT(complaint("composed"), HasSubstr("inside"));
  EXPECT_THAT(complaint("composed(knorm, dms(knorm))"), HasSubstr("threshold"));
}

}  // namespace
}  // namespace kvpress
