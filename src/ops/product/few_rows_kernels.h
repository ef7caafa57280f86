// What the kernels for products of few rows see. This header includes no more than it must: a file compiled for newer
// processors includes it, and an inline function compiled there could end up in programs for older ones.
#pragma once

#include <cstdint>

namespace kvpress {

/// Columns (outputs) are dealt with in vectors of this many.
inline constexpr std::int64_t kColumns = 16;
/// Rows that a kernel takes at a time, and vectors: 4 x 4 sums, 4 vectors of weights and 4 of inputs fit 32 registers.
inline constexpr std::int64_t kProductRows = 4;
inline constexpr std::int64_t kFewVectors = 4;
/// Up to so many rows, some at a time, the weights are streamed: 8 rows with weights in 12 bits take less than half of
/// the time that decoding them and oneDNN's product take on Zen 4, 16 rows three quarters.
inline constexpr std::int64_t kManyFewRows = 16;

/// Weights [out, in], packed. Panels hold `width` outputs each, filled up with zeros:
/// float32 [panel][input][width], bfloat16 [panel][input / 2][width][2]. Or plain rows, float32 [out][in].
struct PackedWeights {
  const void* data = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t width = 0;         ///< a multiple of kColumns; 0: plain rows
  std::int64_t panel_stride = 0;  ///< elements from panel to panel
};

/// sums[r * stride + c] = x[r] . W[kColumns * first + c] for r < n_rows <= kProductRows, c < kColumns * n, n <=
/// kFewVectors, all within one panel. `x` is [n_rows, in] of the weights' type. Columns beyond `out` are left alone or
/// become 0.
using FewRowsKernel = void (*)(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first,
                               std::int64_t n, float* sums, std::int64_t stride);

/// Compiled for AVX-512 BF16; null where the compiler does not have it. To be called on such processors only.
FewRowsKernel avx512bf16_few_rows_kernel();

}  // namespace kvpress
