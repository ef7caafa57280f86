#include "kvpress/ops/output_loss.h"

#include <algorithm>

#include "kvpress/base/error.h"
#include "kvpress/ops/cross_entropy.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

/// Rows of hidden states in the type that the head takes: the same bytes where that is float32 without gaps.
Activations as_input(Matrix<const float> hidden, DType type, ActivationBuffer& buffer) {
  if (type == DType::f32 && hidden.stride == hidden.cols) {
    return {const_cast<float*>(hidden.data), type, hidden.rows, hidden.cols};  // inputs are not written to
  }
  const Activations input = buffer.get(type, hidden.rows, hidden.cols);
  for (std::int64_t i = 0; i < hidden.rows; ++i) {
    from_float(hidden.row(i), input.block(i, 1).data, type, hidden.cols);
  }
  return input;
}

/// The logits of one block of rows, in scratch that lives on from call to call.
Matrix<float> block_logits(Matrix<const float> hidden, const Linear& head, ActivationBuffer& input,
                           ActivationBuffer& output) {
  const Activations logits = output.get(DType::f32, hidden.rows, head.out_features());
  head(as_input(hidden, head.type(), input), logits);
  return logits.as_float();
}

}  // namespace

void output_logits(Matrix<const float> hidden, const Linear& head, Matrix<float> out) {
  thread_local ActivationBuffer input;
  if (out.stride != out.cols) fail("logits: rows of {} words cannot stand {} apart", out.cols, out.stride);
  head(as_input(hidden, head.type(), input), {out.data, DType::f32, out.rows, out.cols});
}

void output_cross_entropy(Matrix<const float> hidden, const Linear& head, std::span<const std::int32_t> targets,
                          std::span<float> nll) {
  thread_local ActivationBuffer input, output;
  for (std::int64_t i = 0; i < hidden.rows; i += kOutputRows) {
    const std::int64_t n = std::min(kOutputRows, hidden.rows - i);
    const auto at = static_cast<std::size_t>(i);
    const auto count = static_cast<std::size_t>(n);
    cross_entropy(block_logits(hidden.block(i, n), head, input, output), targets.subspan(at, count),
                  nll.subspan(at, count));
  }
}

void output_compare(Matrix<const float> full, Matrix<const float> compressed, const Linear& head, std::span<float> kl,
                    std::span<std::uint8_t> same_top) {
  thread_local ActivationBuffer input, full_output, compressed_output;
  for (std::int64_t i = 0; i < full.rows; i += kOutputRows) {
    const std::int64_t n = std::min(kOutputRows, full.rows - i);
    const auto at = static_cast<std::size_t>(i);
    const auto count = static_cast<std::size_t>(n);
    const Matrix<float> p = block_logits(full.block(i, n), head, input, full_output);
    const Matrix<float> q = block_logits(compressed.block(i, n), head, input, compressed_output);
    compare_logits(p, q, kl.subspan(at, count), same_top.subspan(at, count));
  }
}

}  // namespace kvpress
