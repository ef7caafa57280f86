// Products of a few rows, as decoding needs them, straight from weights as oneDNN packs them. Their time is that of
// reading the weights once, which these kernels do in the order of memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kvpress/base/threads.h"
#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/few_rows_kernels.h"

namespace kvpress {

/// float32, by Highway, for any processor. `weights` tells the arrangement: panels, or plain rows.
FewRowsKernel float_few_rows_kernel(const PackedWeights& weights);

/// Inputs in float32 and weights in panels of bfloat16 or float16, [panel][input][width] (half_weights.h), by Highway,
/// for any processor.
FewRowsKernel half_few_rows_kernel(DType type);

/// bfloat16 panels on processors with AVX-512 BF16; null elsewhere.
FewRowsKernel bf16_few_rows_kernel();

/// The definition, in plain loops, for any number of rows: what the kernels are compared with.
void few_rows_plain(const PackedWeights& weights, bool is_bf16, const void* x, std::int64_t n_rows, std::int64_t first,
                    std::int64_t n, float* sums, std::int64_t stride);

/// y = activation(x W^T + bias), or y += with `accumulate` (float32), for any number of rows. `bias` has weights.out
/// values or none. Threads take columns; a column's sum does not depend on how many threads there are.
void few_rows(const PackedWeights& weights, FewRowsKernel kernel, const Activations& x, std::span<const float> bias,
              Activation activation, bool accumulate, const Activations& y);

/// Part of few_rows() that other products of few rows need as well: columns [first, first + n) of one row are
/// finished, from their sums.
void finish_columns(float* sums, std::int64_t first, std::int64_t n, std::span<const float> bias, Activation activation,
                    bool accumulate, const Activations& y_row);

/// x[i] = activation(x[i] + bias[i]); `bias` may be null. `x` must be readable and writable up to a multiple of
/// kColumns.
void bias_and_activation(float* x, std::int64_t n, const float* bias, Activation activation);

/// Calls body(first, n) with each thread's share of n_vectors vectors of columns. One call where all the work together
/// reads fewer bytes than waking the others is worth. The body must not throw.
template <typename Body>
void share_columns(std::int64_t n_vectors, std::int64_t bytes, Body&& body) {
  constexpr std::int64_t kWorthSharing = 1 << 16;
  if (bytes < kWorthSharing || n_vectors < 2 || threads() == 1) {
    body(std::int64_t{0}, n_vectors);
    return;
  }
#pragma omp parallel
  {
    const std::int64_t n_threads = omp_get_num_threads();
    const std::int64_t thread = omp_get_thread_num();
    const std::int64_t first = n_vectors * thread / n_threads;
    const std::int64_t end = n_vectors * (thread + 1) / n_threads;
    if (first < end) body(first, end - first);
  }
}

/// Rows of sums are so far apart, a kernel's columns.
inline constexpr std::int64_t kSumStride = kFewVectors * kColumns;

/// How columns may be cut up.
struct ColumnCuts {
  std::int64_t unit = 1;   ///< vectors of columns that stay with one thread
  std::int64_t panel = 1;  ///< no piece lies in two panels of so many vectors; a multiple of `unit`
  std::int64_t bytes = 0;  ///< of weights
};

/// y = activation(sums + bias), or y += with `accumulate` (float32), for any number of rows. kernel(row, n_rows, first,
/// n, sums) leaves the sums of n_rows <= kProductRows rows from `row` on and n <= kFewVectors vectors of columns from
/// `first` on, kSumStride apart. Threads take columns; a column's sum does not depend on how many threads there are.
template <typename Kernel>
void for_columns(std::int64_t out, const ColumnCuts& cuts, std::span<const float> bias, Activation activation,
                 bool accumulate, const Activations& y, Kernel&& kernel) {
  const std::int64_t n_vectors = (out + kColumns - 1) / kColumns;
  const std::int64_t n_units = (n_vectors + cuts.unit - 1) / cuts.unit;
  share_columns(n_units, cuts.bytes, [&](std::int64_t first_unit, std::int64_t count) {
    alignas(kAlignment) float sums[kProductRows * kSumStride];
    const std::int64_t end = std::min(n_vectors, (first_unit + count) * cuts.unit);
    for (std::int64_t first = first_unit * cuts.unit; first < end;) {
      const std::int64_t n = std::min({end - first, cuts.panel - first % cuts.panel, kFewVectors});
      const std::int64_t column = first * kColumns;
      const std::int64_t n_columns = std::min(n * kColumns, out - column);
      for (std::int64_t r = 0; r < y.rows; r += kProductRows) {
        const std::int64_t n_rows = std::min(kProductRows, y.rows - r);
        kernel(r, n_rows, first, n, sums);
        for (std::int64_t i = 0; i < n_rows; ++i) {
          finish_columns(sums + i * kSumStride, column, n_columns, bias, activation, accumulate, y.block(r + i, 1));
        }
      }
      first += n;
    }
  });
}

}  // namespace kvpress
