#include "ops/output_loss.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "ops/cross_entropy.h"
#include "ops/loss/tile_loss.h"
#include "ops/rowwise.h"

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

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// A row with a logit that is not finite must not come out finite.
void cap(Matrix<float> logits, float soft_cap) {
  if (soft_cap <= 0) return;
  parallel_for(logits.rows, [&](std::int64_t r) {
    const bool is_finite = all_finite(logits.row(r), logits.cols);
    kvpress::soft_cap(logits.row(r), logits.cols, soft_cap);
    if (!is_finite) *logits.row(r) = kNaN;
  });
}

/// Rows of logits, a block of columns at a time: body(first column, logits of each of `states`).
template <std::size_t N, typename Body>
void for_column_blocks(const std::array<Matrix<const float>, N>& states, const OutputHead& head, Body&& body) {
  thread_local std::array<ActivationBuffer, N> inputs, outputs;
  std::array<Activations, N> x;
  for (std::size_t i = 0; i < N; ++i) x[i] = as_input(states[i], head.product.type(), inputs[i]);
  const std::int64_t block = head.product.column_block();
  for (std::int64_t first = 0; first < head.product.out_features(); first += block) {
    const std::int64_t n = std::min(block, head.product.out_features() - first);
    std::array<Matrix<const float>, N> logits;
    for (std::size_t i = 0; i < N; ++i) {
      const Activations y = outputs[i].get(DType::f32, x[i].rows, n);
      head.product.columns(x[i], first, y);
      cap(y.as_float(), head.soft_cap);
      logits[i] = y.as_float();
    }
    body(first, logits);
  }
}

/// Calls body(first row, number of rows) for some rows at a time.
template <typename Body>
void for_row_blocks(std::int64_t n_rows, const OutputHead& head, Body&& body) {
  // Where a block is all words, as many logits as elsewhere fit fewer rows.
  const std::int64_t rows = head.product.column_block() < head.product.out_features() ? kOutputRows : kOutputRows / 8;
  for (std::int64_t i = 0; i < n_rows; i += rows) body(i, std::min(rows, n_rows - i));
}

template <typename T>
std::span<T> part(std::span<T> values, std::int64_t first, std::int64_t n) {
  return values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n));
}

/// The losses of rows; NaN where a logit was not finite, whatever became of it in sums and maxima.
void finish(const CrossEntropyRows& rows, std::span<float> nll, std::span<float> log_sums) {
  rows.finish(nll, log_sums);
  for (std::size_t i = 0; i < nll.size(); ++i) {
    if (rows.is_finite(i)) continue;
    nll[i] = kNaN;
    if (!log_sums.empty()) log_sums[i] = kNaN;
  }
}

void finish(const ComparedRows& rows, std::span<float> kl, std::span<std::uint8_t> same_top) {
  rows.finish(kl, same_top);
  for (std::size_t i = 0; i < kl.size(); ++i) {
    if (!rows.is_finite(i)) kl[i] = kNaN;
  }
}

}  // namespace

void output_logits(Matrix<const float> hidden, const OutputHead& head, Matrix<float> out) {
  thread_local ActivationBuffer input;
  if (out.stride != out.cols) fail("logits: rows of {} words cannot stand {} apart", out.cols, out.stride);
  head.product(as_input(hidden, head.product.type(), input), {out.data, DType::f32, out.rows, out.cols});
  cap(out, head.soft_cap);
}

void output_cross_entropy(Matrix<const float> hidden, const OutputHead& head, std::span<const std::int32_t> targets,
                          std::span<float> nll, std::span<float> log_sums) {
  const auto sums_of = [&](std::int64_t first, std::int64_t n) {
    return log_sums.empty() ? log_sums : part(log_sums, first, n);
  };
  if (hidden.rows <= Linear::kCompactRows) {
    // A decoded token: the product of few rows is faster whole.
    thread_local ActivationBuffer output;
    const Matrix<float> logits = output.get(DType::f32, hidden.rows, head.product.out_features()).as_float();
    output_logits(hidden, head, logits);
    CrossEntropyRows rows(targets);
    rows.add(logits, 0);
    finish(rows, nll, log_sums);
    return;
  }
  if (const LossKernels* kernels = loss_kernels_for(head)) {
    tile_cross_entropy(*kernels, hidden, head, targets, nll, log_sums);
    return;
  }
  for_row_blocks(hidden.rows, head, [&](std::int64_t first, std::int64_t n) {
    CrossEntropyRows rows(part(targets, first, n));
    for_column_blocks<1>({hidden.block(first, n)}, head,
                         [&](std::int64_t column, const auto& logits) { rows.add(logits[0], column); });
    finish(rows, part(nll, first, n), sums_of(first, n));
  });
}

void output_compare(const ScoredStates& full, const ScoredStates& compressed, const OutputHead& head,
                    std::span<float> kl, std::span<std::uint8_t> same_top) {
  if (const LossKernels* kernels = loss_kernels_for(head)) {
    tile_compare(*kernels, full, compressed, head, kl, same_top);
    return;
  }
  for_row_blocks(full.hidden.rows, head, [&](std::int64_t first, std::int64_t n) {
    ComparedRows rows(part(full.log_sums, first, n), part(compressed.log_sums, first, n));
    for_column_blocks<2>({full.hidden.block(first, n), compressed.hidden.block(first, n)}, head,
                         [&](std::int64_t column, const auto& logits) { rows.add(logits[0], logits[1], column); });
    finish(rows, part(kl, first, n), part(same_top, first, n));
  });
}

}  // namespace kvpress
