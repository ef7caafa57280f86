#include "model/forward_pass.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
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

}  // namespace

ForwardPass::ForwardPass(const ModelConfig& config, const DecoderWeights& weights, const Numerics& numerics,
                         const Rope& rope, std::span<const Step> steps, ForwardBuffers& buffers)
    : config_(config), weights_(weights), numerics_(numerics), rope_(rope), buffers_(buffers) {
  arrange(steps);
  cut_into_parts();
}

/// Single tokens stand side by side, those of like caches first of all: their attention is one.
void ForwardPass::arrange(std::span<const Step> steps) {
  for (const Step& step : steps) {
    const auto n = static_cast<std::int64_t>(step.tokens.size());
    if (n > 0) sequences_.push_back({&step, 0, n, {}, {}});
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
  std::vector<std::byte> rounded(static_cast<std::size_t>(config_.hidden_size) * sizeof(float));
  for (const Sequence& it : sequences_) {
    for (const std::int32_t token : it.step->tokens) {
      if (token >= 0 && token < config_.vocab_size) continue;
      fail("token id {} is outside the model's vocabulary of {}", token, config_.vocab_size);
    }
    for (std::int64_t i = 0; i < it.n_new; ++i) {
      const std::int64_t row = it.step->tokens[static_cast<std::size_t>(i)];
      float* const to = residual_.as_float().row(it.first_row + i);
      decode_to_f32(weights_.embedding, row * config_.hidden_size, {to, static_cast<std::size_t>(config_.hidden_size)});
      if (numerics_.storage == DType::f32) continue;
      from_float(to, rounded.data(), numerics_.storage, config_.hidden_size);
      to_float(rounded.data(), numerics_.storage, to, config_.hidden_size);
    }
  }
}

void ForwardPass::prepare_rope() {
  std::int64_t end = 0;
  for (const Sequence& it : sequences_) end = std::max(end, it.step->first_position + it.n_new);
  if (buffers_.rope.inverse_frequencies() != rope_.inverse_frequencies()) buffers_.rope = rope_;
  buffers_.rope.prepare(end);
}

void ForwardPass::run_layer(std::int64_t l) {
  const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(l)];
  for (Sequence& it : sequences_) begin_layer(l, it);
  for (const Part& part : parts_) {
    const Activations rows = residual_.block(part.first_row, part.n_rows);
    const Activations attended = attend(l, part);
    // A parallel residual's feed-forward reads the stream as it was before attention was added: it goes first.
    if (config_.parallel_residual) feed_forward(l, rows.as_float(), rows);
    layer.attention_out(attended, rows, true);
    if (!config_.parallel_residual) feed_forward(l, rows.as_float(), rows);
  }
  for (const Sequence& it : sequences_) {
    it.step->cache.settle(l);
    if (it.step->listener == nullptr) continue;
    it.step->listener->after_layer(l, residual_.as_float().block(it.first_row, it.n_new));
  }
}

void ForwardPass::norm(const NormWeights& norm, Matrix<const float> x, const Activations& out) const {
  if (config_.rms_norm) {
    rms_norm(x, norm.weight.data(), config_.norm_eps, out);
  } else {
    layer_norm(x, norm.weight.data(), norm.bias.data(), config_.norm_eps, out);
  }
}

/// sum += feed-forward(norm(input)); input may be what sum was before.
void ForwardPass::feed_forward(std::int64_t l, Matrix<const float> input, const Activations& sum) {
  const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(l)];
  for (std::int64_t first = 0; first < input.rows; first += kMlpBlock) {
    const std::int64_t n = std::min(kMlpBlock, input.rows - first);
    const Activations normed = buffers_.normed.get(numerics_.compute, n, config_.hidden_size);
    norm(layer.mlp_norm, input.block(first, n), normed);
    Activations inner;
    if (config_.gated) {
      const Activations wide = buffers_.wide.get(DType::f32, n, 2 * config_.intermediate_size);
      layer.mlp_in(normed, wide);
      inner = buffers_.gated.get(numerics_.compute, n, config_.intermediate_size);
      silu_multiply(wide.as_float(), inner);
    } else {
      inner = buffers_.wide.get(numerics_.compute, n, config_.intermediate_size);
      layer.mlp_in(normed, inner);
    }
    layer.mlp_out(inner, sum.block(first, n), true);
  }
}

void ForwardPass::write_hidden_states() const {
  for (const Sequence& it : sequences_) {
    const Matrix<float>& hidden = it.step->hidden;
    if (hidden.rows == 0) continue;
    const Matrix<float> last = residual_.as_float().block(it.first_row + it.n_new - hidden.rows, hidden.rows);
    norm(weights_.final_norm, last, {hidden.data, DType::f32, hidden.rows, hidden.cols});
  }
}

}  // namespace kvpress
