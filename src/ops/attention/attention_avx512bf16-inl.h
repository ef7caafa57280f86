// The softmax of attention for the files compiled for AVX-512 BF16.
#pragma once

#include "ops/attention/attention_kernels.h"
#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

constexpr int kLanes = 16;

/// 2^x for x <= 0 or so; below 2^-150 it is 0. Relative error below 2e-7 (the polynomial: 9e-8).
inline __m512 exp2_fast(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 y = _mm512_set1_ps(1.326472696e-3f);
  y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(9.671512668e-3f));
  y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(5.550733744e-2f));
  y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(2.402224208e-1f));
  y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(6.931469776e-1f));
  y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

/// One row's step of the online softmax: scores become bfloat16 weights, and are left as weights in float32 themselves
/// with kKeep. Returns the correction of what was before.
template <bool kKeep = false>
inline float weigh_scores(float* scores, i64 seen, i64 n_keys, float factor, float& row_max, float& row_sum,
                          u16* weights) {
  if (seen <= 0) {  // a stretch may begin behind what a query sees: nothing there has weight
    for (i64 j = 0; j < n_keys; ++j) {
      weights[j] = 0;
      if (kKeep) scores[j] = 0;
    }
    return 1.0f;
  }
  const __m512 hidden = _mm512_set1_ps(kNoMax);
  for (i64 j = seen / kLanes * kLanes; j < n_keys; j += kLanes) {
    const i64 left = seen - j;
    const auto mask = static_cast<__mmask16>(left <= 0 ? 0 : left >= kLanes ? 0xffff : (1 << left) - 1);
    _mm512_storeu_ps(scores + j, _mm512_mask_mov_ps(hidden, mask, _mm512_loadu_ps(scores + j)));
  }
  __m512 max0 = hidden, max1 = hidden, max2 = hidden, max3 = hidden;
  for (i64 j = 0; j < n_keys; j += 4 * kLanes) {
    max0 = _mm512_max_ps(max0, _mm512_loadu_ps(scores + j));
    max1 = _mm512_max_ps(max1, _mm512_loadu_ps(scores + j + kLanes));
    max2 = _mm512_max_ps(max2, _mm512_loadu_ps(scores + j + 2 * kLanes));
    max3 = _mm512_max_ps(max3, _mm512_loadu_ps(scores + j + 3 * kLanes));
  }
  const float block_max =
      factor * _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(max0, max1), _mm512_max_ps(max2, max3)));
  const float max = block_max > row_max ? block_max : row_max;
  const __m512 by = _mm512_set1_ps(factor);
  const __m512 shift = _mm512_set1_ps(max);
  __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;
  for (i64 j = 0; j < n_keys; j += 2 * kLanes) {
    const __m512 low = exp2_fast(_mm512_fmsub_ps(by, _mm512_loadu_ps(scores + j), shift));
    const __m512 high = exp2_fast(_mm512_fmsub_ps(by, _mm512_loadu_ps(scores + j + kLanes), shift));
    sum0 = _mm512_add_ps(sum0, low);
    sum1 = _mm512_add_ps(sum1, high);
    _mm512_storeu_si512(weights + j, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    if (kKeep) {
      _mm512_storeu_ps(scores + j, low);
      _mm512_storeu_ps(scores + j + kLanes, high);
    }
  }
  const float correction = _mm512_cvtss_f32(exp2_fast(_mm512_set1_ps(row_max - max)));
  row_sum = row_sum * correction + _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
  row_max = max;
  return correction;
}

}  // namespace
}  // namespace kvpress
