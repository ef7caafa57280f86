#include "model/forward_pass.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/model/not_finite.h"
#include "ops/gates.h"
#include "ops/product/gated_product.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// Tokens that go through the feed-forward part at a time: enough for full speed, few enough that its wide
/// intermediate stays small whatever the prefill's length.
constexpr std::int64_t kMlpBlock = 1024;

/// Tokens of one sequence that a layer takes at a time where nobody wants the whole block.
constexpr std::int64_t kLayerBlock = 1024;

/// Rows of a part made of several pieces: beside a whole piece of a long block there is room for many single tokens.
constexpr std::int64_t kPartRows = kLayerBlock + 256;

/// Entries that a window has left behind wait until there are so many to drop at once: each time a head's others move.
constexpr std::int64_t kDroppedTogether = 64;

/// Takes away what a layer's tokens from place `next` on will not see.
void drop_unseen(KVCache& cache, std::int64_t layer, std::int64_t next, std::int64_t window) {
  const std::int64_t first_seen = next - window + 1;
  std::int64_t oldest = first_seen;
  for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
    const auto positions = cache.head(layer, h).positions();
    if (!positions.empty()) oldest = std::min<std::int64_t>(oldest, positions.front());
  }
  if (oldest <= first_seen - kDroppedTogether) cache.drop_before(layer, first_seen);
}

}  // namespace

ForwardPass::ForwardPass(const ModelConfig& config, const DecoderWeights& weights, const Numerics& numerics,
                         const LayerRopes& ropes, std::span<const Step> steps, ForwardBuffers& buffers)
    : config_(config), weights_(weights), numerics_(numerics), ropes_(ropes), buffers_(buffers) {
  arrange(steps);
  cut_into_parts();
}

/// Single tokens stand side by side, those of like caches first of all: their attention is one.
void ForwardPass::arrange(std::span<const Step> steps) {
  for (const Step& step : steps) {
    const auto n = static_cast<std::int64_t>(step.tokens.size());
    if (n > 0) sequences_.push_back({&step, 0, n, {}, {}, {}});
  }
  const auto rank = [](const Sequence& it) {
    return std::pair(it.n_new > 1, static_cast<int>(it.step->cache.shape().format.type));
  };
  std::stable_sort(sequences_.begin(), sequences_.end(),
                   [&](const Sequence& a, const Sequence& b) { return rank(a) < rank(b); });
  for (Sequence& it : sequences_) {
    it.first_row = n_rows_;
    n_rows_ += it.n_new;
    for (const Sequence& other : sequences_) {
      if (&other != &it && &other.step->cache == &it.step->cache) {
        throw std::logic_error("two steps of one pass over one cache");
      }
    }
  }
}

void ForwardPass::cut_into_parts() {
  for (Sequence& it : sequences_) {
    const AttentionListener* const listener = it.step->listener;
    const std::int64_t at_a_time = listener != nullptr && listener->wants_whole_block() ? it.n_new : kLayerBlock;
    for (std::int64_t first = 0; first < it.n_new; first += at_a_time) {
      const std::int64_t n = std::min(at_a_time, it.n_new - first);
      if (parts_.empty() || parts_.back().n_rows + n > kPartRows) parts_.push_back({it.first_row + first, 0, {}});
      Part& part = parts_.back();
      part.pieces.push_back({&it, first, n, part.n_rows});
      part.n_rows += n;
    }
  }
}

void ForwardPass::run() {
  if (n_rows_ == 0) return;
  residual_ = buffers_.residual.get(DType::f32, n_rows_, config_.hidden_size);
  embed();
  prepare_rope();
  for (std::int64_t l = 0; l < config_.n_layers; ++l) {
    check_interrupt();
    run_layer(l);
    refuse_not_finite(l);
  }
  write_hidden_states();
}

void ForwardPass::undo() noexcept {
  for (const Sequence& it : sequences_) {
    try {
      it.step->cache.drop_from(it.step->first_position);
    } catch (const std::exception& error) {  // to cut a quantized group takes memory
      log_warning(fmt::format("the cache of a pass that failed could not be cut back: {}", error.what()));
    }
  }
}

void ForwardPass::embed() {
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  std::vector<std::byte> rounded(hidden * sizeof(float));
  std::vector<float> position(hidden);
  const auto decode_row = [&](const TensorInfo& tensor, std::int64_t row, float* to) {
    decode_to_f32(tensor, row * config_.hidden_size, {to, hidden});
    if (numerics_.storage == DType::f32) return;
    from_float(to, rounded.data(), numerics_.storage, config_.hidden_size);
    to_float(rounded.data(), numerics_.storage, to, config_.hidden_size);
  };
  for (const Sequence& it : sequences_) {
    for (const std::int32_t token : it.step->tokens) {
      if (token >= 0 && token < config_.vocab_size) continue;
      fail("token id {} is outside the model's vocabulary of {}", token, config_.vocab_size);
    }
    const std::int64_t first_row = it.step->first_position + config_.first_position_row;
    if (config_.learned_positions > 0 && first_row + it.n_new > config_.learned_positions) {
      fail("the text reaches {} tokens, but the model has learned positions for {}", it.step->first_position + it.n_new,
           config_.learned_positions - config_.first_position_row);
    }
    for (std::int64_t i = 0; i < it.n_new; ++i) {
      float* const to = residual_.as_float().row(it.first_row + i);
      decode_row(weights_.embedding, it.step->tokens[i], to);
      if (config_.embedding_scale != 1.0f) scale(to, config_.hidden_size, config_.embedding_scale);
      if (config_.learned_positions == 0) continue;
      decode_row(weights_.positions, first_row + i, position.data());
      add(position.data(), to, config_.hidden_size);
    }
  }
}

void ForwardPass::prepare_rope() {
  std::int64_t end = 0;
  for (const Sequence& it : sequences_) end = std::max(end, it.step->first_position + it.n_new);
  if (!buffers_.ropes.same_turns(ropes_)) buffers_.ropes = ropes_;
  buffers_.ropes.prepare(end);
}

void ForwardPass::run_layer(std::int64_t l) {
  const bool parallel = config_.layer(l).parallel;
  for (Sequence& it : sequences_) begin_layer(l, it);
  for (const Part& part : parts_) {
    const Activations rows = residual_.block(part.first_row, part.n_rows);
    const Activations attended = attend(l, part);
    // A parallel residual's feed-forward reads the stream as it was before attention was added: it goes first.
    if (parallel) feed_forward(l, rows.as_float(), rows);
    add_attention(l, part, attended);
    if (!parallel) feed_forward(l, rows.as_float(), rows);
  }
  finish_layer(l);
}

/// What windows will not let anybody see again goes, the rest settles, and listeners are shown the result.
void ForwardPass::finish_layer(std::int64_t l) {
  const std::int64_t window = config_.layer(l).window;
  for (Sequence& it : sequences_) {
    const Step& step = *it.step;
    if (window > 0 && !step.keeps_unseen) drop_unseen(step.cache, l, step.first_position + it.n_new, window);
    step.cache.settle(l);
    if (step.listener == nullptr) continue;
    LayerOutput output{l, step.first_position, residual_.as_float().block(it.first_row, it.n_new), {}};
    if (!it.attention_output.empty()) {
      output.attention_output = {it.attention_output.data(), it.n_new, config_.hidden_size};
    }
    step.listener->after_layer(output);
  }
}

/// Products of quantized rows and softmaxes can make plain numbers of what is none: it is looked for layer by layer.
void ForwardPass::refuse_not_finite(std::int64_t layer) const {
  for (const Sequence& it : sequences_) {
    const Matrix<float> rows = residual_.block(it.first_row, it.n_new).as_float();
    if (all_finite(rows.data, rows.rows * rows.cols)) continue;
    std::int64_t row = 0;
    while (all_finite(rows.row(row), rows.cols)) ++row;
    throw NotFinite(it.step->first_position + row, it.step->tokens[static_cast<std::size_t>(row)],
                    fmt::format("layer {} gives numbers that are not finite", layer), remedy_for(numerics_.storage));
  }
}

void ForwardPass::norm(const NormWeights& norm, NormKind kind, float eps, Matrix<const float> x,
                       const Activations& out) const {
  if (kind == NormKind::layer_norm) {
    layer_norm(x, norm.weight.data(), norm.bias.data(), eps, out);
  } else {
    rms_norm(x, norm.weight.data(), eps, out);
  }
}

void ForwardPass::read(const LayerSpec& spec, const NormWeights& weights, Matrix<const float> x,
                       const Activations& out) const {
  if (spec.normed_before()) {
    norm(weights, spec.norm, spec.norm_eps, x, out);
  } else {
    from_float(x.data, out.data, out.type, x.rows * x.cols);
  }
}

/// Products of quantized weights quantize their inputs, too, and make integers of NaN.
void ForwardPass::refuse_not_finite_input(const Activations& x, const Activations& sum) const {
  if (numerics_.held == HeldWeights::as_float) return;
  AlignedVector<float> values(static_cast<std::size_t>(x.cols));
  for (std::int64_t row = 0; row < x.rows; ++row) {
    to_float(x.block(row, 1).data, x.type, values.data(), x.cols);
    if (all_finite(values.data(), x.cols)) continue;
    const std::int64_t at = (sum.as<float>() - residual_.as<float>()) / residual_.cols + row;
    const auto of = std::find_if(sequences_.begin(), sequences_.end(), [&](const Sequence& it) {
      return at >= it.first_row && at < it.first_row + it.n_new;
    });
    const std::int64_t token = at - of->first_row;
    throw NotFinite(of->step->first_position + token, of->step->tokens[static_cast<std::size_t>(token)],
                    "attention or feed-forward gives numbers that are not finite", remedy_for(numerics_.storage));
  }
}

Matrix<const float> ForwardPass::add_product(const LayerSpec& spec, const Linear& product, const NormWeights& post_norm,
                                             const Activations& x, const Activations& sum, bool held) {
  refuse_not_finite_input(x, sum);
  if (!spec.normed_after() && !held) {
    product(x, sum, true);
    return {};
  }
  const Activations result = buffers_.projected.get(DType::f32, sum.rows, sum.cols);
  product(x, result);
  add_result(spec, post_norm, result, sum);
  return result.as_float();
}

void ForwardPass::add_result(const LayerSpec& spec, const NormWeights& post_norm, const Activations& result,
                             const Activations& sum) const {
  if (spec.normed_after()) norm(post_norm, spec.norm, spec.norm_eps, result.as_float(), result);
  add(result.as<float>(), sum.as<float>(), sum.rows * sum.cols);
}

void ForwardPass::add_attention(std::int64_t l, const Part& part, const Activations& attended) {
  const LayerWeights& layer = weights_.layers[l];
  const auto wanted = [](const Piece& it) { return !it.sequence->attention_output.empty(); };
  const bool held = std::any_of(part.pieces.begin(), part.pieces.end(), wanted);
  const Matrix<const float> added = add_product(config_.layer(l), layer.attention_out, layer.attention_post_norm,
                                                attended, residual_.block(part.first_row, part.n_rows), held);
  for (const Piece& it : part.pieces) {
    if (!wanted(it)) continue;
    std::copy_n(added.row(it.row), it.n * config_.hidden_size,
                it.sequence->attention_output.data() + it.first * config_.hidden_size);
  }
}

/// sum += feed-forward(input); input may be what sum was before.
void ForwardPass::feed_forward(std::int64_t l, Matrix<const float> input, const Activations& sum) {
  const LayerWeights& layer = weights_.layers[l];
  const LayerSpec& spec = config_.layer(l);
  for (std::int64_t first = 0; first < input.rows; first += kMlpBlock) {
    const std::int64_t n = std::min(kMlpBlock, input.rows - first);
    const Activations normed = buffers_.normed.get(numerics_.compute, n, config_.hidden_size);
    read(spec, layer.mlp_norm, input.block(first, n), normed);
    if (spec.feed_forward == FeedForwardKind::experts) {
      refuse_not_finite_input(normed, sum.block(first, n));
      add_result(spec, layer.mlp_post_norm, feed_experts(l, normed), sum.block(first, n));
    } else {
      const Activations inner = inner_activations(spec, layer.mlp_in, normed);
      add_product(spec, layer.mlp_out, layer.mlp_post_norm, inner, sum.block(first, n));
    }
  }
}

Activations ForwardPass::inner_activations(const LayerSpec& spec, const Linear& mlp_in, const Activations& x) {
  if (!spec.gated) {
    const Activations inner = buffers_.wide.get(numerics_.compute, x.rows, spec.intermediate_size);
    mlp_in(x, inner);
    return inner;
  }
  const Activations inner = buffers_.gated.get(numerics_.compute, x.rows, spec.intermediate_size);
  const GatedKernels* const kernels =
      spec.gate_limit > 0 ? nullptr : gated_kernels_for(mlp_in, spec.activation, x.rows);
  if (kernels != nullptr) {
    gated_product(*kernels, mlp_in, x, inner);
    return inner;
  }
  const Activations wide = buffers_.wide.get(DType::f32, x.rows, 2 * spec.intermediate_size);
  mlp_in(x, wide);
  if (spec.gate_limit > 0) {
    limited_gate_multiply(wide.as_float(), spec.gate_limit, inner);
  } else {
    gate_multiply(wide.as_float(), spec.activation, inner);
  }
  return inner;
}

void ForwardPass::write_hidden_states() const {
  for (const Sequence& it : sequences_) {
    const Matrix<float>& hidden = it.step->hidden;
    if (hidden.rows == 0) continue;
    const Matrix<float> last = residual_.as_float().block(it.first_row + it.n_new - hidden.rows, hidden.rows);
    norm(weights_.final_norm, config_.final_norm, config_.final_norm_eps, last,
         {hidden.data, DType::f32, hidden.rows, hidden.cols});
    for (std::int64_t row = 0; row < hidden.rows; ++row) {
      if (all_finite(hidden.row(row), hidden.cols)) continue;
      const std::int64_t token = it.n_new - hidden.rows + row;
      throw NotFinite(it.step->first_position + token, it.step->tokens[static_cast<std::size_t>(token)],
                      "the final norm gives numbers that are not finite", remedy_for(numerics_.storage));
    }
  }
}

}  // namespace kvpress
