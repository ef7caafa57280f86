// The forward pass against transformers', on small random models.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "kvpress/base/threads.h"
#include "kvpress/model/model.h"
#include "ops/cross_entropy.h"
#include "test_data.h"

namespace kvpress {
namespace {

Model load(const std::string& name, DType type, std::span<const std::int32_t> tokens) {
  const std::string file = name.starts_with("gguf-") ? name + ".gguf" : name;
  auto files = std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / file).string()));
  return Model(files, {false, type}, std::ssize(tokens));
}

float largest_difference(const float* a, const float* b, std::int64_t n) {
  float largest = 0;
  for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

class Trace : public AttentionListener {
 public:
  using OnLayer = std::function<void(std::int64_t layer, Matrix<const float> residual)>;
  explicit Trace(OnLayer on_layer) : on_layer_(std::move(on_layer)) {}
  void after_attention(const AttentionBlock& /*block*/) override {}
  void after_layer(const LayerOutput& output) override { on_layer_(output.layer, output.residual); }

 private:
  OnLayer on_layer_;
};

class Forward : public testing::TestWithParam<std::string> {};

TEST_P(Forward, HiddenStatesAndLogitsEqualTransformers) {
  const test::References reference("forward/" + GetParam() + ".safetensors");
  const auto tokens = reference.ints("tokens");
  Model model = load(GetParam(), DType::f32, tokens);
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden_size = model.config().hidden_size;
  AlignedVector<float> hidden(static_cast<std::size_t>(n * hidden_size));
  KVCache cache = model.make_cache(DType::f32);
  int layers = 0;
  Trace trace([&](std::int64_t layer, Matrix<const float> residual) {
    const auto expected = reference.floats("hidden/layer" + std::to_string(layer));
    for (std::int64_t row = 0; row * 8 < n; ++row) {
      EXPECT_LT(largest_difference(residual.row(row * 8), expected.data() + row * hidden_size, hidden_size), 1e-3f)
          << "layer " << layer << " position " << row * 8;
    }
    ++layers;
  });
  model.forward({tokens, 0, cache, &trace, {hidden.data(), n, hidden_size}});
  EXPECT_EQ(layers, model.config().n_layers);

  const std::int64_t vocab = model.config().vocab_size;
  AlignedVector<float> logits(static_cast<std::size_t>(n * vocab));
  model.logits({hidden.data(), n, hidden_size}, {logits.data(), n, vocab});
  const auto expected = reference.floats("logits");
  for (std::int64_t row = 0; row * 8 < n; ++row) {
    EXPECT_LT(largest_difference(logits.data() + row * 8 * vocab, expected.data() + row * vocab, vocab), 1e-3f) << row;
  }
  std::vector<float> nll(static_cast<std::size_t>(n - 1));
  cross_entropy({logits.data(), n - 1, vocab}, std::span(tokens).subspan(1), nll);
  EXPECT_LT(largest_difference(nll.data(), reference.floats("nll").data(), n - 1), 1e-4f);
}

TEST_P(Forward, BlocksAndSingleTokensGiveWhatOnePassGives) {
  const test::References reference("forward/" + GetParam() + ".safetensors");
  const auto tokens = reference.ints("tokens");
  Model model = load(GetParam(), DType::f32, tokens);
  const std::int64_t n = 48;
  const std::int64_t cols = model.config().hidden_size;
  AlignedVector<float> whole(static_cast<std::size_t>(n * cols)), parts(static_cast<std::size_t>(n * cols));
  KVCache a = model.make_cache(DType::f32);
  model.forward({std::span(tokens).first(48), 0, a, nullptr, {whole.data(), n, cols}});
  KVCache b = model.make_cache(DType::f32);
  std::int64_t at = 0;
  for (const std::int64_t length : {17, 1, 1, 20, 1, 8}) {
    model.forward({std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(length)),
                   at,
                   b,
                   nullptr,
                   {parts.data() + at * cols, length, cols}});
    at += length;
  }
  ASSERT_EQ(at, n);
  EXPECT_LT(largest_difference(whole.data(), parts.data(), n * cols), 2e-3f);
  if (!model.config().has_windows()) {
    EXPECT_EQ(a.allocated_bytes(), b.allocated_bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Ggufs, Forward,
                         testing::Values("gguf-gemma2", "gguf-gemma3", "gguf-gpt2", "gguf-gpt-neox", "gguf-gpt-oss",
                                         "gguf-llama", "gguf-mixtral", "gguf-olmo2", "gguf-phi3", "gguf-qwen2",
                                         "gguf-qwen3", "gguf-qwen3-moe", "gguf-smollm3"));

INSTANTIATE_TEST_SUITE_P(Models, Forward,
                         testing::Values("neox-parallel", "neox-sequential", "neox-legacy", "neox-sharded-bf16",
                                         "llama-gqa", "llama3-rope", "llama-yarn", "llama-longrope", "llama-dynamic",
                                         "mistral-window", "gemma2", "gemma3", "gpt-oss", "gpt-oss-mxfp4", "gpt2",
                                         "ministral", "ministral3", "mixtral", "olmo2", "opt", "phi3", "qwen2", "qwen3",
                                         "qwen3-moe", "smollm3"));

}  // namespace
}  // namespace kvpress
