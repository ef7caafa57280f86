#include "engine/random_model.h"

#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace kvpress {
namespace {

/// Weights that make the activations of every layer of a like size.
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

/// One product after another, each with a seed of its own.
class Maker {
 public:
  Maker(const ModelConfig& config, const Numerics& numerics, std::uint64_t seed)
      : config_(config), numerics_(numerics), seed_(seed) {}

  WeightRows next_rows(std::int64_t in) { return random_rows(in, ++seed_); }

  LayerWeights layer(const LayerSpec& spec) {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t query_rows = config_.n_heads * config_.head_dim;
    LayerWeights layer;
    if (spec.normed_before()) layer.attention_norm = layer.mlp_norm = ones(spec.norm, hidden);
    if (spec.normed_after()) layer.attention_post_norm = layer.mlp_post_norm = ones(spec.norm, hidden);
    const auto normed = [&](std::int64_t n_heads) {
      return (spec.norms_heads_together ? n_heads : 1) * config_.head_dim;
    };
    if (spec.query_norm) layer.query_norm = ones(*spec.query_norm, normed(config_.n_heads));
    if (spec.key_norm) layer.key_norm = ones(*spec.key_norm, normed(config_.n_kv_heads));
    if (spec.attention_sinks) layer.sinks.assign(static_cast<std::size_t>(config_.n_heads), 0.0f);
    layer.qkv = linear(query_rows + 2 * config_.n_kv_heads * config_.head_dim, hidden, spec.biases.in_qkv());
    layer.attention_out = linear(hidden, query_rows, spec.biases.attention_out);
    layer.attention_out_rows = random_rows(query_rows, seed_);
    if (spec.feed_forward == FeedForwardKind::dense) {
      layer.mlp_in = mlp_in(spec);
      layer.mlp_out = mlp_out(spec);
      return layer;
    }
    layer.router = linear(config_.experts.n, hidden, config_.experts.router_bias);
    for (std::int64_t e = 0; e < config_.experts.n; ++e) layer.experts.push_back({mlp_in(spec), mlp_out(spec)});
    return layer;
  }

  static NormWeights ones(NormKind kind, std::int64_t n) {
    NormWeights norm;
    norm.weight.assign(static_cast<std::size_t>(n), 1.0f);
    if (kind == NormKind::layer_norm) norm.bias.assign(static_cast<std::size_t>(n), 0.0f);
    return norm;
  }

  Linear output() {
    if (numerics_.held == HeldWeights::as_int4) numerics_.held = HeldWeights::as_int8;  // as WeightReader::output()
    return linear(config_.vocab_size, config_.hidden_size, false);
  }

 private:
  Linear mlp_in(const LayerSpec& spec) {
    const std::int64_t inner = spec.intermediate_size;
    return spec.gated ? linear(2 * inner, config_.hidden_size, spec.biases.mlp_in)
                      : linear(inner, config_.hidden_size, spec.biases.mlp_in, spec.activation);
  }
  Linear mlp_out(const LayerSpec& spec) {
    return linear(config_.hidden_size, spec.intermediate_size, spec.biases.mlp_out);
  }

  Linear linear(std::int64_t out, std::int64_t in, bool bias, Activation activation = Activation::none) {
    const std::vector<float> zeros(bias ? static_cast<std::size_t>(out) : 0, 0.0f);
    return make_linear(out, in, next_rows(in), zeros, numerics_, activation, arena_);
  }

  const ModelConfig& config_;
  Numerics numerics_;
  std::uint64_t seed_;
  PageArena arena_;
};

}  // namespace

Model random_model(const ModelConfig& config, const DTypeChoice& dtype, std::uint64_t seed) {
  check_supported(config, "random model");
  const Numerics numerics = choose_numerics(dtype, StoredType::bf16);
  Maker maker(config, numerics, seed);
  DecoderWeights weights;
  const std::int64_t n_rows = config.vocab_size + config.learned_positions;
  auto rows = std::make_shared<AlignedVector<float>>(static_cast<std::size_t>(n_rows * config.hidden_size));
  maker.next_rows(config.hidden_size)(0, n_rows, rows->data());
  const auto table = [&](const char* name, std::int64_t first, std::int64_t n) -> TensorInfo {
    const std::span<const float> part(rows->data() + first * config.hidden_size,
                                      static_cast<std::size_t>(n * config.hidden_size));
    return {name, StoredType::f32, "F32", {n, config.hidden_size}, std::as_bytes(part)};
  };
  weights.embedding = table("embedding", 0, config.vocab_size);
  if (config.learned_positions > 0) weights.positions = table("positions", config.vocab_size, config.learned_positions);
  for (const LayerSpec& it : config.layers) weights.layers.push_back(maker.layer(it));
  weights.final_norm = Maker::ones(config.final_norm, config.hidden_size);
  weights.output = maker.output();
  return Model(config, numerics, std::move(weights), std::move(rows));
}

}  // namespace kvpress
