// Gemma 3 270M, a real model whose layers differ in window and RoPE, from its GGUF: losses and greedy text against
// transformers in float32 (tools/references/gemma3.py). KVPRESS_GEMMA3 names the file; skipped without.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/file.h"
#include "kvpress/engine/generate.h"
#include "kvpress/eval/run.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

struct Loaded {
  Model model;
  nlohmann::json reference;
};

Loaded* loaded() {
  const char* path = std::getenv("KVPRESS_GEMMA3");
  if (path == nullptr) return nullptr;
  static Loaded instance{Model(std::make_shared<ModelFiles>(open_model_files(path)), {false, DType::f32}),
                         nlohmann::json::parse(read_file(test::data_dir() / "gemma3" / "references.json"))};
  return &instance;
}

class Gemma270M : public testing::Test {
 protected:
  void SetUp() override {
    if (loaded() == nullptr) GTEST_SKIP() << "KVPRESS_GEMMA3 does not name the model's GGUF";
  }
};

TEST_F(Gemma270M, Configuration) {
  const ModelConfig& config = loaded()->model.config();
  const nlohmann::json& model = loaded()->reference["model"];
  EXPECT_EQ(config.n_layers, model["num_hidden_layers"].get<std::int64_t>());
  EXPECT_EQ(config.head_dim, model["head_dim"].get<std::int64_t>());
  EXPECT_EQ(config.vocab_size, model["vocab_size"].get<std::int64_t>());
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const bool slides = model["layer_types"][static_cast<std::size_t>(l)] == "sliding_attention";
    EXPECT_EQ(config.layer(l).window, slides ? model["sliding_window"].get<std::int64_t>() : 0) << l;
    const auto& rope = model["rope_parameters"][slides ? "sliding_attention" : "full_attention"];
    EXPECT_EQ(config.layer(l).rope.inverse_frequencies, rope_frequencies(config.head_dim, rope["rope_theta"])) << l;
  }
}

/// Texts of two and three windows: token by token, and the mean as far as sums in another order let it be the same.
TEST_F(Gemma270M, LossesEqualTransformers) {
  for (const auto& [name, expected] : loaded()->reference["texts"].items()) {
    TokenizedText text;
    text.ids = expected["ids"].get<std::vector<std::int32_t>>();
    text.n_bytes.assign(text.ids.size(), 1);
    RunSettings settings;
    settings.protocol.protocol = Protocol::window;
    settings.protocol.max_length = settings.protocol.stride = std::ssize(text.ids);
    const RunResult run = test::run_press(loaded()->model, {text}, parse_press("no_press"), settings);
    EXPECT_NEAR(run.perplexity() / expected["perplexity"].get<double>(), 1, 1e-4) << name;
  }
}

TEST_F(Gemma270M, GreedyTextIsTheReferences) {
  for (const auto& [name, it] : loaded()->reference["generation"].items()) {
    const auto expected = it["new_ids"].get<std::vector<std::int32_t>>();
    GenerateSettings settings;
    settings.max_new_tokens = static_cast<std::int64_t>(expected.size());
    settings.ignore_eos = true;
    Sequence sequence(loaded()->model, {});
    sequence.append(it["prompt_ids"].get<std::vector<std::int32_t>>());
    EXPECT_EQ(generate(sequence, settings).ids, expected) << name;
  }
}

}  // namespace
}  // namespace kvpress
