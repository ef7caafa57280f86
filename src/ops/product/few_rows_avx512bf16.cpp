// Compiled for processors with AVX-512 BF16 and called on nothing else. Intrinsics and functions of this file only: an
// inline function of a library, compiled here, could be the copy that the linker keeps for every processor.
#include "ops/product/few_rows_kernels.h"

#ifdef __AVX512BF16__

#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

/// How far ahead of the products weights are asked for: the processor's own prefetching starts anew at each page.
constexpr i64 kAhead = 2048 / sizeof(u16);

inline __m512i broadcast_pair(const u16* x) { return _mm512_set1_epi32(static_cast<int>(load_pair(x))); }

/// Vectors of columns at `w`, rows of pairs of inputs `step` elements apart. A single row takes even and odd pairs to
/// sums of their own, since one instruction waits for the sum of the one before.
template <int kVectors, int kRows>
void sum_columns(const u16* w, i64 step, const u16* x, i64 in, float* sums, i64 stride) {
  constexpr int kSets = kRows == 1 ? 2 : 1;
  __m512 sum[kSets][kRows][kVectors];
  for (auto& set : sum) {
    for (auto& row : set) {
      for (auto& vector : row) vector = _mm512_setzero_ps();
    }
  }
  const auto add = [&](__m512(&to)[kRows][kVectors], const u16* weights, const __m512i(&inputs)[kRows]) {
    for (int v = 0; v < kVectors; ++v) {
      const __m512i weight = _mm512_loadu_si512(weights + 32 * v);
      _mm_prefetch(reinterpret_cast<const char*>(weights + 32 * v + kAhead), _MM_HINT_T0);
      for (int r = 0; r < kRows; ++r) to[r][v] = multiply_pairs(to[r][v], inputs[r], weight);
    }
  };
  __m512i inputs[kRows];
  i64 k = 0;
  for (; k + 2 * kSets <= in; k += 2 * kSets) {
    for (int s = 0; s < kSets; ++s) {
      for (int r = 0; r < kRows; ++r) inputs[r] = broadcast_pair(x + r * in + k + 2 * s);
      add(sum[s], w, inputs);
      w += step;
    }
  }
  for (; k < in; k += 2) {
    for (int r = 0; r < kRows; ++r) {
      inputs[r] = k + 2 <= in ? broadcast_pair(x + r * in + k) : _mm512_set1_epi32(x[r * in + k]);
    }
    add(sum[0], w, inputs);
    w += step;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const __m512 total = kSets == 1 ? sum[0][r][v] : _mm512_add_ps(sum[0][r][v], sum[kSets - 1][r][v]);
      _mm512_storeu_ps(sums + r * stride + kColumns * v, total);
    }
  }
}

template <int kVectors>
void sum_columns(const u16* w, i64 step, const u16* x, i64 n_rows, i64 in, float* sums, i64 stride) {
  static_assert(kProductRows == 4);
  switch (n_rows) {
    case 1:
      return sum_columns<kVectors, 1>(w, step, x, in, sums, stride);
    case 2:
      return sum_columns<kVectors, 2>(w, step, x, in, sums, stride);
    case 3:
      return sum_columns<kVectors, 3>(w, step, x, in, sums, stride);
    default:
      return sum_columns<kVectors, 4>(w, step, x, in, sums, stride);
  }
}

void sum_panel(const PackedWeights& weights, const void* x, i64 n_rows, i64 first, i64 n, float* sums, i64 stride) {
  static_assert(kFewVectors == 4);
  const i64 column = first * kColumns;
  const u16* w = static_cast<const u16*>(weights.data) + column / weights.width * weights.panel_stride +
                 2 * (column % weights.width);
  const i64 step = 2 * weights.width;
  const u16* rows = static_cast<const u16*>(x);
  switch (n) {
    case 1:
      return sum_columns<1>(w, step, rows, n_rows, weights.in, sums, stride);
    case 2:
      return sum_columns<2>(w, step, rows, n_rows, weights.in, sums, stride);
    case 3:
      return sum_columns<3>(w, step, rows, n_rows, weights.in, sums, stride);
    default:
      return sum_columns<4>(w, step, rows, n_rows, weights.in, sums, stride);
  }
}

}  // namespace

FewRowsKernel avx512bf16_few_rows_kernel() { return sum_panel; }

}  // namespace kvpress

#else

namespace kvpress {
FewRowsKernel avx512bf16_few_rows_kernel() { return nullptr; }
}  // namespace kvpress

#endif
