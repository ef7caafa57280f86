#include "kvpress/model/model.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/forward_pass.h"
#include "ops/isa.h"
#include "ops/output_loss.h"

namespace kvpress {
namespace {

/// Weights that make the activations of every layer of a like size, as a trained model's are.
WeightRows random_rows(std::int64_t in, std::uint64_t seed) {
  return [in, seed](std::int64_t first, std::int64_t n, float* out) {
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < n; ++r) {
      std::minstd_rand random(static_cast<unsigned>(seed * 7919 + static_cast<std::uint64_t>(first + r) * 104729 + 1));
      const float spread = std::sqrt(3.0f / static_cast<float>(in));
      std::uniform_real_distribution<float> uniform(-spread, spread);
      for (std::int64_t c = 0; c < in; ++c) out[r * in + c] = uniform(random);
    }
  };
}

}  // namespace

Numerics choose_numerics(const DTypeChoice& choice, StoredType stored) {
  DType type = choice.type;
  if (choice.automatic) {
    const bool rounded = stored != StoredType::f32 && stored != StoredType::f16;
    type = rounded && has_fast_bfloat16() ? DType::bf16 : DType::f32;
  }
  const bool in_bfloat16 = type == DType::bf16 && has_fast_bfloat16();
  return {type, in_bfloat16 ? DType::bf16 : DType::f32, choice.held};
}

DTypeChoice parse_dtype_choice(const std::string& text, const std::string& option) {
  if (text == "auto") return {};
  return {false, parse_dtype(text, option), HeldWeights::as_float};
}

struct Model::Impl {
  ModelConfig config;
  Numerics numerics;
  std::shared_ptr<const ModelFiles> files;
  AlignedVector<float> random_embedding;  // what weights.embedding shows when there is no file
  DecoderWeights weights;
  Rope rope;  // without any position: each workspace prepares its own
  // Of calls that bring no workspace of their own: those that nobody uses at the moment.
  mutable std::mutex idle_mutex;
  mutable std::vector<Workspace> idle;

  void make_random(std::uint64_t seed);
};

Workspace::Workspace() : buffers_(std::make_unique<ForwardBuffers>()) {}
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;
Workspace::~Workspace() = default;

Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model::Model(std::shared_ptr<const ModelFiles> files, const DTypeChoice& dtype) : impl_(std::make_unique<Impl>()) {
  impl_->config = read_config(*files);
  const bool is_gguf = files->gguf != nullptr;
  const std::string path = files->path.string();
  const auto& tensors = files->tensors->tensors();
  // The type of the largest tensor stands for the file's.
  const auto largest = std::max_element(tensors.begin(), tensors.end(),
                                        [](const auto& a, const auto& b) { return a.n_elements() < b.n_elements(); });
  if (largest == tensors.end()) fail("{}: holds no tensors", path);
  impl_->numerics = choose_numerics(dtype, largest->type);
  const auto& architecture = architecture_by_model_type(impl_->config.architecture, path);
  impl_->weights = architecture.weights(impl_->config, *files->tensors, is_gguf, impl_->numerics);
  impl_->rope = Rope(impl_->config.rope_frequencies);
  impl_->files = std::move(files);
}

Model::Model(const ModelConfig& config, const DTypeChoice& dtype, std::uint64_t seed)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = config;
  impl_->numerics = choose_numerics(dtype, StoredType::bf16);
  impl_->rope = Rope(config.rope_frequencies);
  impl_->make_random(seed);
}

void Model::Impl::make_random(std::uint64_t seed) {
  const std::int64_t hidden = config.hidden_size;
  PageArena arena;
  Numerics held = numerics;
  const auto linear = [&](std::int64_t out, std::int64_t in, bool bias, Activation activation = Activation::none) {
    const std::vector<float> zeros(bias ? static_cast<std::size_t>(out) : 0, 0.0f);
    return make_linear(out, in, random_rows(in, ++seed), zeros, held, activation, arena);
  };
  const auto ones = [&] {
    NormWeights norm;
    norm.weight.assign(static_cast<std::size_t>(hidden), 1.0f);
    if (!config.rms_norm) norm.bias.assign(static_cast<std::size_t>(hidden), 0.0f);
    return norm;
  };
  random_embedding.resize(static_cast<std::size_t>(config.vocab_size * hidden));
  random_rows(hidden, ++seed)(0, config.vocab_size, random_embedding.data());
  weights.embedding = {"embedding",
                       StoredType::f32,
                       "F32",
                       {config.vocab_size, hidden},
                       std::as_bytes(std::span(random_embedding.data(), random_embedding.size()))};
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    LayerWeights layer;
    layer.attention_norm = ones();
    layer.mlp_norm = ones();
    layer.qkv = linear((config.n_heads + 2 * config.n_kv_heads) * config.head_dim, hidden, config.attention_bias);
    layer.attention_out = linear(hidden, config.n_heads * config.head_dim, config.attention_bias);
    layer.attention_out_rows = random_rows(config.n_heads * config.head_dim, seed);
    layer.mlp_in = config.gated ? linear(2 * config.intermediate_size, hidden, config.mlp_bias)
                                : linear(config.intermediate_size, hidden, config.mlp_bias, config.activation);
    layer.mlp_out = linear(hidden, config.intermediate_size, config.mlp_bias);
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = ones();
  if (held.held == HeldWeights::as_int4) held.held = HeldWeights::as_int8;  // as WeightReader::output()
  weights.output = linear(config.vocab_size, hidden, false);
}

const ModelConfig& Model::config() const { return impl_->config; }
DType Model::dtype() const { return impl_->numerics.storage; }
DType Model::compute_type() const { return impl_->numerics.compute; }
const Linear& Model::output() const { return impl_->weights.output; }

std::string Model::numbers() const {
  const std::string type(to_string(impl_->numerics.storage));
  switch (impl_->numerics.held) {
    case HeldWeights::as_float:
      return type;
    case HeldWeights::as_file:
      return type + ", weights as in the file";
    case HeldWeights::as_int8:
      return type + ", weights int8";
    case HeldWeights::as_int4:
      return type + ", weights int4";
  }
  return type;
}

std::size_t Model::weight_bytes() const {
  std::size_t bytes = impl_->weights.embedding.data.size() + impl_->weights.output.bytes();
  for (const LayerWeights& layer : impl_->weights.layers) {
    bytes += layer.qkv.bytes() + layer.attention_out.bytes() + layer.mlp_in.bytes() + layer.mlp_out.bytes();
  }
  return bytes;
}

KVCache Model::make_cache(const CacheFormat& format, std::int64_t n_carried, bool renumber) const {
  const ModelConfig& config = impl_->config;
  return KVCache({config.n_layers, config.n_kv_heads, config.head_dim, format, n_carried, renumber},
                 Rope(config.rope_frequencies));
}

void Model::forward(std::span<const Step> steps, Workspace& workspace) const {
  ForwardPass pass(impl_->config, impl_->weights, impl_->numerics, impl_->rope, steps, *workspace.buffers_);
  try {
    pass.run();
  } catch (...) {
    pass.undo();
    throw;
  }
}

void Model::forward(const Step& step) const {
  Workspace workspace;
  {
    const std::scoped_lock lock(impl_->idle_mutex);
    if (!impl_->idle.empty()) {
      workspace = std::move(impl_->idle.back());
      impl_->idle.pop_back();
    }
  }
  forward({&step, 1}, workspace);
  const std::scoped_lock lock(impl_->idle_mutex);
  impl_->idle.push_back(std::move(workspace));
}

void Model::logits(Matrix<const float> hidden, Matrix<float> out) const {
  output_logits(hidden, impl_->weights.output, out);
}

}  // namespace kvpress
