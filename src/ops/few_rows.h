// Products of a few rows, as decoding needs them, straight from weights as oneDNN packs them. Their time is that of
// reading the weights once, which these kernels do in the order of memory.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/base/threads.h"
#include "kvpress/ops/few_rows_kernels.h"
#include "kvpress/ops/linear.h"
#include "kvpress/ops/matrix.h"

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

}  // namespace kvpress
