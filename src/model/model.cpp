#include "kvpress/model/model.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/threads.h"
#include "kvpress/model/architecture.h"
#include "kvpress/model/attention_args.h"
#include "kvpress/ops/attention.h"
#include "kvpress/ops/isa.h"
#include "kvpress/ops/output_loss.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

/// Tokens that go through the feed-forward part at a time: enough for full speed, few enough that its wide
/// intermediate stays small whatever the prefill's length.
constexpr std::int64_t kMlpBlock = 1024;

/// Tokens that a layer takes at a time where nobody wants the whole block.
constexpr std::int64_t kLayerBlock = 1024;

/// One layer's work on a block of new tokens, whose entries have their places in the cache already.
struct LayerBlock {
  std::int64_t layer, first_position, n_new;
  KVCache& cache;
  AttentionListener* listener;
  std::vector<std::int64_t> next;  // each KV head's RoPE position of the first token
  std::span<float* const> column_sums;
};

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
  Rope rope;

  // Scratch of the forward pass, kept from call to call.
  ActivationBuffer residual_buffer, normed_buffer, qkv_buffer, queries_buffer, attended_buffer, wide_buffer,
      gated_buffer;

  void make_random(std::uint64_t seed);
  void embed(std::span<const std::int32_t> tokens, Matrix<float> residual) const;
  void norm(const NormWeights& norm, Matrix<const float> x, const Activations& out) const;
  LayerBlock begin_layer(std::int64_t layer, std::int64_t first_position, std::int64_t n_new, KVCache& cache,
                         AttentionListener* listener) const;
  void attend(const LayerBlock& block, std::int64_t first, Matrix<const float> residual, const Activations& attended);
  void store_keys_and_rotate(const LayerBlock& block, std::int64_t first, Matrix<const float> qkv,
                             const Activations& queries) const;
  void feed_forward(const LayerWeights& weights, Matrix<const float> input, const Activations& sum);
};

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

void Model::Impl::embed(std::span<const std::int32_t> tokens, Matrix<float> residual) const {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      fail("token id {} is outside the model's vocabulary of {}", token, config.vocab_size);
    }
  }
  std::vector<std::byte> rounded(static_cast<std::size_t>(config.hidden_size) * sizeof(float));
  for (std::int64_t i = 0; i < residual.rows; ++i) {
    const std::int64_t row = tokens[static_cast<std::size_t>(i)];
    decode_to_f32(weights.embedding, row * config.hidden_size,
                  {residual.row(i), static_cast<std::size_t>(config.hidden_size)});
    if (numerics.storage != DType::f32) {
      from_float(residual.row(i), rounded.data(), numerics.storage, config.hidden_size);
      to_float(rounded.data(), numerics.storage, residual.row(i), config.hidden_size);
    }
  }
}

void Model::Impl::norm(const NormWeights& norm, Matrix<const float> x, const Activations& out) const {
  if (config.rms_norm) {
    rms_norm(x, norm.weight.data(), config.norm_eps, out);
  } else {
    layer_norm(x, norm.weight.data(), norm.bias.data(), config.norm_eps, out);
  }
}

LayerBlock Model::Impl::begin_layer(std::int64_t layer, std::int64_t first_position, std::int64_t n_new, KVCache& cache,
                                    AttentionListener* listener) const {
  LayerBlock block{layer, first_position, n_new, cache, listener, {}, {}};
  // Heads of a renumbered cache that differ in length go on from different positions.
  for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
    block.next.push_back(cache.next_position(layer, h, first_position));
  }
  cache.extend(layer, n_new, first_position);
  if (listener != nullptr) block.column_sums = listener->column_sums(layer, cache);
  return block;
}

/// Splits the projections of tokens [first, first + qkv.rows) of a block: queries and keys are turned to their
/// positions, keys and values go to the cache.
void Model::Impl::store_keys_and_rotate(const LayerBlock& block, std::int64_t first, Matrix<const float> qkv,
                                        const Activations& queries) const {
  const std::int64_t d = config.head_dim;
  const std::int64_t group = config.group_size();
#pragma omp parallel for schedule(static) if (qkv.rows > 1)
  for (std::int64_t t = 0; t < qkv.rows; ++t) {
    thread_local AlignedVector<float> key;
    key.resize(static_cast<std::size_t>(d));
    float* query = queries.as<float>() + t * queries.cols;
    std::copy_n(qkv.row(t), queries.cols, query);
    for (std::int64_t h = 0; h < config.n_heads; ++h) {
      rope.apply(query + h * d, block.next[static_cast<std::size_t>(h / group)] + first + t);
    }
    for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
      std::copy_n(qkv.row(t) + (config.n_heads + h) * d, d, key.data());
      rope.apply(key.data(), block.next[static_cast<std::size_t>(h)] + first + t);
      const std::int64_t at = block.cache.head(block.layer, h).size() - block.n_new + first + t;
      block.cache.write_row(block.layer, h, at, key.data(), qkv.row(t) + (config.n_heads + config.n_kv_heads + h) * d);
    }
  }
}

/// Attention of tokens [first, first + residual.rows) of a block.
void Model::Impl::attend(const LayerBlock& block, std::int64_t first, Matrix<const float> residual,
                         const Activations& attended) {
  const LayerWeights& weights_of_layer = weights.layers[static_cast<std::size_t>(block.layer)];
  const std::int64_t n = residual.rows;
  const std::int64_t query_cols = config.n_heads * config.head_dim;
  const Activations normed = normed_buffer.get(numerics.compute, n, config.hidden_size);
  norm(weights_of_layer.attention_norm, residual, normed);
  const Activations qkv = qkv_buffer.get(DType::f32, n, weights_of_layer.qkv.out_features());
  weights_of_layer.qkv(normed, qkv);
  const Activations queries = queries_buffer.get(DType::f32, n, query_cols);
  store_keys_and_rotate(block, first, qkv.as_float(), queries);

  std::vector<HeadKV> kv;
  for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
    kv.push_back(block.cache.head(block.layer, h).view());
    kv.back().n -= block.n_new - first - n;  // without the places of what follows
  }
  AttentionListener* const listener = block.listener;
  std::vector<float> log_sum_exp;
  if (listener != nullptr && listener->wants_log_sum_exp()) {
    log_sum_exp.resize(static_cast<std::size_t>(config.n_heads * n));
  }
  const AttentionArgs args = attention_args(config, queries.as<float>(), n, kv, block.cache.shape().format.type,
                                            log_sum_exp.empty() ? nullptr : log_sum_exp.data(), block.column_sums);
  attention(args, attended);
  if (listener != nullptr) {
    listener->after_attention({block.layer, block.first_position + first, n, config, weights_of_layer, rope, normed,
                               queries.as_float(), qkv.as_float().columns(0, query_cols), args.log_sum_exp, block.cache,
                               first + n == block.n_new});
  }
}

/// sum += feed-forward(norm(input)); input may be what sum was before.
void Model::Impl::feed_forward(const LayerWeights& layer, Matrix<const float> input, const Activations& sum) {
  for (std::int64_t first = 0; first < input.rows; first += kMlpBlock) {
    const std::int64_t n = std::min(kMlpBlock, input.rows - first);
    const Activations normed = normed_buffer.get(numerics.compute, n, config.hidden_size);
    norm(layer.mlp_norm, input.block(first, n), normed);
    Activations inner;
    if (config.gated) {
      const Activations wide = wide_buffer.get(DType::f32, n, 2 * config.intermediate_size);
      layer.mlp_in(normed, wide);
      inner = gated_buffer.get(numerics.compute, n, config.intermediate_size);
      silu_multiply(wide.as_float(), inner);
    } else {
      inner = wide_buffer.get(numerics.compute, n, config.intermediate_size);
      layer.mlp_in(normed, inner);
    }
    layer.mlp_out(inner, sum.block(first, n), true);
  }
}

void Model::forward(std::span<const std::int32_t> tokens, std::int64_t first_position, KVCache& cache,
                    AttentionListener* listener, Matrix<float> hidden) {
  forward(tokens, first_position, cache, listener, hidden, Trace());
}

void Model::forward(std::span<const std::int32_t> tokens, std::int64_t first_position, KVCache& cache,
                    AttentionListener* listener, Matrix<float> hidden, const Trace& trace) {
  Impl& it = *impl_;
  const auto n_new = static_cast<std::int64_t>(tokens.size());
  if (n_new == 0) return;
  const Activations residual = it.residual_buffer.get(DType::f32, n_new, it.config.hidden_size);
  it.embed(tokens, residual.as_float());
  it.rope.prepare(first_position + n_new);
  const bool whole = listener != nullptr && listener->wants_whole_block();
  const std::int64_t step = whole ? n_new : std::min(n_new, kLayerBlock);

  for (std::int64_t l = 0; l < it.config.n_layers; ++l) {
    check_interrupt();
    const LayerWeights& layer = it.weights.layers[static_cast<std::size_t>(l)];
    const LayerBlock block = it.begin_layer(l, first_position, n_new, cache, listener);
    for (std::int64_t first = 0; first < n_new; first += step) {
      const Activations part = residual.block(first, std::min(step, n_new - first));
      const Activations attended =
          it.attended_buffer.get(it.numerics.compute, part.rows, it.config.n_heads * it.config.head_dim);
      it.attend(block, first, part.as_float(), attended);
      // A parallel residual's feed-forward reads the stream as it was before attention was added: it goes first.
      if (it.config.parallel_residual) it.feed_forward(layer, part.as_float(), part);
      layer.attention_out(attended, part, true);
      if (!it.config.parallel_residual) it.feed_forward(layer, part.as_float(), part);
    }
    cache.settle(l);
    if (trace) trace(l, residual.as_float());
  }
  if (hidden.rows > 0) {
    const Matrix<float> last = residual.as_float().block(n_new - hidden.rows, hidden.rows);
    it.norm(it.weights.final_norm, last, {hidden.data, DType::f32, hidden.rows, hidden.cols});
  }
}

void Model::logits(Matrix<const float> hidden, Matrix<float> out) const {
  output_logits(hidden, impl_->weights.output, out);
}

}  // namespace kvpress
