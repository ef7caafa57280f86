// ThinK: what is stored, and that everything that reads keys takes thin ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "small_model.h"

namespace kvpress {
namespace {

TEST(Think, SavesHalfOfItsRatioAndKeepsEveryToken) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 7);
  RunSettings settings;
  settings.protocol.max_length = 1024;
  settings.protocol.chunk_size = 256;
  settings.compression.cache_format = DType::bf16;
  const std::vector<TokenizedText> texts = {test::random_text(1024)};
  const RunResult full = test::run_press(model, texts, parse_press("no_press"), settings);
  for (const double ratio : {0.25, 0.5, 0.75}) {
    settings.compression.budget.ratio = ratio;
    const RunResult thin = test::run_press(model, texts, parse_press("think"), settings);
    EXPECT_EQ(thin.cache_tokens, 1024);
    EXPECT_NEAR(static_cast<double>(thin.cache_bytes) / static_cast<double>(full.cache_bytes), 1 - ratio / 2, 0.01);
    EXPECT_NE(thin.nll, full.nll);
  }
  const RunResult own =
      test::run_press(model, texts, parse_press("think(key_channel_compression_ratio=0.5)"), settings);
  settings.compression.budget.ratio = 0.5;
  EXPECT_EQ(own.nll, test::run_press(model, texts, parse_press("think"), settings).nll);
}

TEST(Think, AHeadsChannelsAreChosenOnceAndNewKeysWaitForTheNextCompression) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 7);
  const auto text = test::random_text(300);
  const NamedPress press = parse_press("think");
  Compressor compressor(press.plan({0.5, {}}));
  KVCache cache = compressor.make_cache(model, DType::f32);
  std::vector<float> last(static_cast<std::size_t>(model.config().hidden_size));
  const auto forward = [&](std::size_t first, std::size_t n) {
    compressor.forward(model, std::span(text.ids).subspan(first, n), cache,
                       {last.data(), 1, model.config().hidden_size});
  };
  forward(0, 200);
  const KVHead& head = cache.head(1, 1);
  EXPECT_EQ(head.n_thin(), 200);
  const std::vector<std::int32_t> channels(head.channels().begin(), head.channels().end());
  EXPECT_EQ(channels.size(), 32u);
  compressor.set_active(false);
  forward(200, 50);
  EXPECT_EQ(head.n_thin(), 200);
  EXPECT_EQ(head.size(), 250);
  compressor.set_active(true);
  forward(250, 50);
  EXPECT_EQ(head.n_thin(), 300);
  EXPECT_EQ(std::vector<std::int32_t>(head.channels().begin(), head.channels().end()), channels);
}

/// Thins the keys in the first block, then asks the press inside.
class ThinThen : public Editor<ThinThen> {
 public:
  explicit ThinThen(const std::string& inner) : think_(parse_press("think")), inner_(parse_press(inner)) {}
  PressNeeds needs() const override { return think_.press->needs() + inner_.press->needs(); }
  void observe(const LayerView& layer) override { inner_.press->observe(layer); }
  void compress(const LayerView& layer) override {
    think_.press->compress(layer);
    inner_.press->compress(layer);
  }

 private:
  NamedPress think_, inner_;
};

TEST(Think, OtherPressesRunOnThinKeysUnderEverySchedule) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 7);
  RunSettings settings;
  settings.protocol.max_length = 400;
  settings.protocol.chunk_size = 100;
  settings.compression.budget.ratio = 0.5;
  for (const Positions positions : {Positions::text, Positions::cache}) {
    settings.compression.positions = positions;
    for (const char* inner : {"knorm", "keydiff", "snapkv", "tova", "expected_attention", "observed_attention",
                              "merging(snapkv)", "adakv(knorm)"}) {
      const NamedPress press = {inner, std::make_shared<ThinThen>(inner)};
      for (const Protocol protocol : {Protocol::chunked, Protocol::continuation}) {
        settings.protocol.protocol = protocol;
        const RunResult result = test::run_press(model, {test::random_text(400)}, press, settings);
        EXPECT_EQ(result.cache_tokens, protocol == Protocol::chunked ? 200 : 100) << inner;
        EXPECT_TRUE(std::isfinite(result.mean_nll())) << inner;
      }
    }
  }
}

TEST(Think, ARenumberedCacheLosesChannelsByPairs) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 7);
  const auto text = test::random_text(200);
  const NamedPress press = parse_press("key_rerotation(think(key_channel_compression_ratio=0.3))");
  Compressor compressor(press.plan({0.5, {}}));
  KVCache cache = compressor.make_cache(model, DType::f32);
  std::vector<float> last(static_cast<std::size_t>(model.config().hidden_size));
  compressor.forward(model, text.ids, cache, {last.data(), 1, model.config().hidden_size});
  const auto channels = cache.head(0, 0).channels();
  EXPECT_EQ(channels.size(), 64u - 18u);  // int(64 * 0.3) = 19, a whole number of pairs
  for (const std::int32_t c : channels)
    EXPECT_TRUE(std::binary_search(channels.begin(), channels.end(), (c + 32) % 64));
}

TEST(Think, BadParametersAreRefused) {
  EXPECT_THROW(parse_press("think(key_channel_compression_ratio=1.5)"), UsageError);
  EXPECT_THROW(parse_press("think(window_size=0)"), UsageError);
  EXPECT_THROW(parse_press("merging(merging(knorm))"), UsageError);
  EXPECT_THROW(parse_press("merging(knorm, merge_fraction=2)"), UsageError);
  EXPECT_THROW(parse_press("finch(window_size=0)"), UsageError);
}

}  // namespace
}  // namespace kvpress
