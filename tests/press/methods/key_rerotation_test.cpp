// A cache that renumbers: entry j of a head has RoPE position j, whatever was evicted.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "engine/shapes.h"
#include "kvpress/base/error.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/text_input.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/registry.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

/// In the first block of a layer each head keeps its newest tokens, another number of them in each head: what is left
/// stands side by side, so that distances are the same whether positions are renumbered or not. In the second block the
/// press inside is asked for its scores.
class KeepNewest : public Editor<KeepNewest> {
 public:
  explicit KeepNewest(const std::string& inner, std::vector<Scores>* seen) : inner_(parse_press(inner)), seen_(seen) {}
  PressNeeds needs() const override { return inner_.press->needs(); }
  void observe(const LayerView& layer) override { inner_.press->observe(layer); }
  void compress(const LayerView& layer) override {
    if (layer.block.first_position > 0) {
      seen_->push_back(scores_of(*inner_.press, layer));
      return;
    }
    Kept kept;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      std::vector<std::int32_t> newest;
      for (std::int64_t j = layer.head(h).size() - 40 - 10 * h; j < layer.head(h).size(); ++j) {
        newest.push_back(static_cast<std::int32_t>(j));
      }
      kept.push_back(newest);
    }
    layer.keep(kept);
  }

 private:
  NamedPress inner_;
  std::vector<Scores>* seen_;
};

class Renumbering : public testing::TestWithParam<const char*> {
 protected:
  Renumbering()
      : files_(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / GetParam()).string()))),
        model_(files_, {false, DType::f32}),
        tokens_(test::References(std::string("forward/") + GetParam() + ".safetensors").ints("tokens")) {}

  std::span<const std::int32_t> tokens(std::size_t first, std::size_t n) const {
    return std::span(tokens_).subspan(first, n);
  }

  std::shared_ptr<ModelFiles> files_;
  Model model_;
  std::vector<std::int32_t> tokens_;
};

TEST_P(Renumbering, KeysAreTurnedToTheirSlots) {
  const ModelConfig& config = model_.config();
  Rope rope(config.layer(0).rope.inverse_frequencies);
  rope.prepare(200);
  const auto d = static_cast<std::size_t>(config.head_dim);
  std::vector<KVCache> caches;
  for (const bool renumber : {false, true}) {
    const NamedPress press = parse_press("adakv(knorm)");
    Compressor compressor(press.plan({0.5, {}}));
    caches.push_back(compressor.make_cache(model_, DType::f32, renumber));
    std::vector<float> last(static_cast<std::size_t>(config.hidden_size));
    compressor.forward(model_, tokens(0, 100), caches.back(), {last.data(), 1, config.hidden_size});
  }
  int turned = 0;
  for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {  // of the first layer: what it reads is the same in both
    const KVHead& text = caches[0].head(0, h);
    const KVHead& cache = caches[1].head(0, h);
    ASSERT_EQ(std::vector(text.positions().begin(), text.positions().end()),
              std::vector(cache.positions().begin(), cache.positions().end()));
    for (std::int64_t j = 0; j < text.size(); ++j) {
      const std::int64_t place = text.positions()[static_cast<std::size_t>(j)];
      EXPECT_EQ(text.rope_position(j), place);
      EXPECT_EQ(cache.rope_position(j), j);
      std::vector<float> expected(d), got(d);
      text.keys_as_float(j, 1, expected.data());
      rope.undo(expected.data(), place);
      rope.apply(expected.data(), j);
      cache.keys_as_float(j, 1, got.data());
      for (std::size_t c = 0; c < d; ++c) EXPECT_NEAR(got[c], expected[c], 1e-5);
      turned += place != j ? 1 : 0;
    }
  }
  EXPECT_GT(turned, 20);
}

TEST_P(Renumbering, OnlyDistancesMatter) {
  for (const char* inner : {"snapkv(window_size=8)", "tova", "expected_attention"}) {
    SCOPED_TRACE(inner);
    const ModelConfig& config = model_.config();
    AlignedVector<float> states[2];
    std::vector<Scores> scores[2];
    for (const bool renumber : {false, true}) {
      const KeepNewest press(inner, &scores[renumber]);
      CompressionPlan plan;
      plan.prefill = &press;
      plan.prefill_budget = {0.5, {}};
      Compressor compressor(plan);
      KVCache cache = compressor.make_cache(model_, DType::f32, renumber);
      states[renumber].resize(static_cast<std::size_t>(30 * config.hidden_size));
      const Matrix<float> out(states[renumber].data(), 30, config.hidden_size);
      compressor.forward(model_, tokens(0, 100), cache, out.block(0, 1));
      compressor.forward(model_, tokens(100, 30), cache, out);
    }
    for (std::size_t i = 0; i < states[0].size(); ++i) EXPECT_NEAR(states[0][i], states[1][i], 1e-3);
    ASSERT_EQ(scores[0].size(), static_cast<std::size_t>(config.n_layers));
    for (std::size_t l = 0; l < scores[0].size(); ++l) {
      for (std::size_t h = 0; h < scores[0][l].size(); ++h) {
        ASSERT_EQ(scores[0][l][h].size(), 70 + 10 * h);
        for (std::size_t j = 0; j < scores[0][l][h].size(); ++j) {
          const float score = scores[0][l][h][j];
          EXPECT_NEAR(scores[1][l][h][j], score, 1e-4f * std::max(1.0f, std::abs(score)));
        }
      }
    }
  }
}

TEST_P(Renumbering, ThePressAndTheOptionAreTheSame) {
  TokenizedText text;
  text.ids = tokens_;
  text.n_bytes.assign(tokens_.size(), 1);
  RunSettings settings;
  settings.protocol.max_length = 160;
  settings.protocol.chunk_size = 20;
  settings.compression.budget.ratio = 0.5;
  const auto nll = [&](const std::string& press) {
    return test::run_press(model_, {text}, parse_press(press), settings).nll;
  };
  const auto text_positions = nll("streaming_llm");
  const auto by_press = nll("key_rerotation(streaming_llm)");
  settings.compression.positions = Positions::cache;
  EXPECT_EQ(nll("streaming_llm"), by_press);
  EXPECT_NE(text_positions, by_press);
}

INSTANTIATE_TEST_SUITE_P(Models, Renumbering, testing::Values("llama-gqa", "llama-yarn", "neox-parallel"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(KeyRerotation, AModelWithoutRotaryPositionsIsRefused) {
  ModelConfig config = named_shape("smollm2-135m");
  for (LayerSpec& it : config.layers) it.rope = {};
  const NamedPress press = parse_press("key_rerotation(knorm)");
  EXPECT_THROW(press.press->prepare({config, "no-rope"}), UsageError);
  EXPECT_THROW(parse_positions("cache", "--positions", config), UsageError);
  EXPECT_EQ(parse_positions("text", "--positions", config), Positions::text);
  EXPECT_THROW(parse_positions("slots", "--positions", named_shape("smollm2-135m")), UsageError);
}

TEST(KeyRerotation, FitsWhereThePressInsideFits) {
  EXPECT_EQ(parse_press("key_rerotation(knorm)").press->kind(), PressKind::scores);
  EXPECT_EQ(parse_press("key_rerotation(adakv(knorm))").press->kind(), PressKind::selection);
  EXPECT_NO_THROW(parse_press("adakv(key_rerotation(knorm))"));
  EXPECT_TRUE(parse_press("adakv(key_rerotation(knorm))").press->needs().rebuilds_positions);
  EXPECT_THROW(parse_press("adakv(key_rerotation(adakv(knorm)))"), UsageError);
}

/// The book that ships, far beyond the 2,048 tokens that the demo model was trained for.
TEST(Renumbered, PerplexityStaysFlatFarBeyondTheTrainedContext) {
  const auto files =
      std::make_shared<ModelFiles>(open_model_files((test::project_dir() / "models" / "kvpress-demo").string()));
  Model model(files, {});
  const Tokenizer tokenizer = Tokenizer::from_json(files->tokenizer);
  const TextDataset book = load_texts({(test::project_dir() / "data" / "pg19" / "test.jsonl").string(), "", "", 1});
  const std::vector<TokenizedText> texts = tokenize_texts(tokenizer, book, 6144);
  ASSERT_EQ(texts.front().ids.size(), 6144u);
  RunSettings settings;
  settings.protocol.max_length = 6144;
  settings.compression.cache_format = model.dtype();
  settings.compression.budget = {0.0, 768};
  const auto last_to_first = [&](const char* press, Positions positions) {
    settings.compression.positions = positions;
    const auto curve = perplexity_curve(test::run_press(model, texts, parse_press(press), settings), 2048);
    EXPECT_EQ(curve.size(), 3u);
    return curve.back().perplexity / curve.front().perplexity;
  };
  EXPECT_LT(last_to_first("streaming_llm", Positions::cache), 1.2);
  EXPECT_GT(last_to_first("no_press", Positions::text), 1.6);
}

}  // namespace
}  // namespace kvpress
