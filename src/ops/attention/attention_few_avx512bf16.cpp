// Attention of a few rows straight from the cache, as decoding needs it. Compiled for processors with AVX-512 BF16 and
// called on nothing else. Its time is that of reading the keys and values once, in the order of memory: each entry is
// loaded once for all rows, and nothing is written but scores.
#include "ops/attention/attention_avx512bf16.h"

#ifdef __AVX512BF16__

#include "ops/attention/attention_avx512bf16-inl.h"

namespace kvpress {
namespace {

/// Elements in a register.
constexpr int kWide = 32;
/// So far ahead of the loads memory is asked for, in bytes; and only to the second-level cache, since the first-level
/// one can wait for few lines at a time. With several rows every other entry is asked for, and the processor's own
/// prefetching brings the rest: what is asked for comes in bursts then, which leave it nothing to wait with.
constexpr i64 kAhead = 4096;

inline __m512i load(const u16* p) { return _mm512_loadu_si512(p); }
inline void ask_for(const u16* p) { _mm_prefetch(reinterpret_cast<const char*>(p) + kAhead, _MM_HINT_T1); }

/// Sixteen registers to one: lane k of the result is the sum of x[k]'s lanes.
inline __m512 sum_each(const __m512 (&x)[kLanes]) {
  __m512 quads[4];
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const __m512 a =
        _mm512_add_ps(_mm512_unpacklo_ps(x[4 * q], x[4 * q + 1]), _mm512_unpackhi_ps(x[4 * q], x[4 * q + 1]));
    const __m512 b =
        _mm512_add_ps(_mm512_unpacklo_ps(x[4 * q + 2], x[4 * q + 3]), _mm512_unpackhi_ps(x[4 * q + 2], x[4 * q + 3]));
    const __m512d c = _mm512_castps_pd(a);
    const __m512d d = _mm512_castps_pd(b);
    quads[q] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
  }
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return halves(halves(quads[0], quads[1]), halves(quads[2], quads[3]));
}

/// scores[r][0..n_keys) of all rows, n_keys filled up to whole registers with what the last key gives.
template <int Chunks>
void score_keys(const u16* queries, i64 n_rows, const u16* keys, i64 n_keys, float* scores) {
  constexpr i64 kHeadDim = Chunks * kWide;
  for (i64 first = 0; first < n_keys; first += kLanes) {
    const i64 last = n_keys - first < kLanes ? n_keys - first - 1 : kLanes - 1;
    const u16* block = keys + first * kHeadDim;
    for (i64 r = 0; r < n_rows; ++r) {
      __m512i query[Chunks];
#pragma GCC unroll 8
      for (int c = 0; c < Chunks; ++c) query[c] = load(queries + r * kHeadDim + c * kWide);
      __m512 sums[kLanes];
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) {
        const u16* key = block + (k < last ? k : last) * kHeadDim;
        if (r == 0 && (n_rows == 1 || k % 2 == 0)) {
#pragma GCC unroll 8
          for (int c = 0; c < Chunks; ++c) ask_for(key + c * kWide);
        }
        sums[k] = _mm512_setzero_ps();
#pragma GCC unroll 8
        for (int c = 0; c < Chunks; ++c) sums[k] = multiply_pairs(sums[k], query[c], load(key + c * kWide));
      }
      _mm512_storeu_ps(scores + r * kKeyBlock + first, sum_each(sums));
    }
  }
}

/// accumulated[r] = accumulated[r] * correction[r] + weights[r] . values, for Rows rows and Chunks x 32 channels of
/// `stride`. Weights beyond n_keys are 0.
template <int Rows, int Chunks>
void weigh_values(const u16* weights, const u16* values, i64 n_keys, i64 stride, const float* correction, float* out,
                  i64 cols) {
  __m512 low[Rows][Chunks];  // of every 8 channels the first 4, and the others
  __m512 high[Rows][Chunks];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int c = 0; c < Chunks; ++c) low[r][c] = high[r][c] = _mm512_setzero_ps();
  }
  for (i64 k = 0; k < n_keys; k += 2) {
    const u16* even = values + k * stride;
    const u16* odd = k + 1 < n_keys ? even + stride : even;
    __m512i first[Chunks];
    __m512i second[Chunks];
#pragma GCC unroll 2
    for (int c = 0; c < Chunks; ++c) {
      ask_for(even + c * kWide);
      if (Rows == 1) ask_for(odd + c * kWide);
      const __m512i a = load(even + c * kWide);
      const __m512i b = load(odd + c * kWide);
      first[c] = _mm512_unpacklo_epi16(a, b);
      second[c] = _mm512_unpackhi_epi16(a, b);
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m512i weight = _mm512_set1_epi32(static_cast<int>(load_pair(weights + r * kKeyBlock + k)));
#pragma GCC unroll 2
      for (int c = 0; c < Chunks; ++c) {
        low[r][c] = multiply_pairs(low[r][c], weight, first[c]);
        high[r][c] = multiply_pairs(high[r][c], weight, second[c]);
      }
    }
  }
  // Lane blocks of four back to their order.
  const __m512i front = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i back = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
    const __m512 factor = _mm512_set1_ps(correction[r]);
#pragma GCC unroll 2
    for (int c = 0; c < Chunks; ++c) {
      float* to = out + r * cols + c * kWide;
      const __m512 a = _mm512_permutex2var_ps(low[r][c], front, high[r][c]);
      const __m512 b = _mm512_permutex2var_ps(low[r][c], back, high[r][c]);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_loadu_ps(to), factor, a));
      _mm512_storeu_ps(to + kLanes, _mm512_fmadd_ps(_mm512_loadu_ps(to + kLanes), factor, b));
    }
  }
}

template <int Rows>
void weigh_channels(const u16* weights, const u16* values, i64 n_keys, i64 head_dim, const float* correction,
                    float* out) {
  i64 c = 0;
  for (; c + 2 * kWide <= head_dim; c += 2 * kWide) {
    weigh_values<Rows, 2>(weights, values + c, n_keys, head_dim, correction, out + c, head_dim);
  }
  if (c < head_dim) weigh_values<Rows, 1>(weights, values + c, n_keys, head_dim, correction, out + c, head_dim);
}

}  // namespace

void avx512bf16_attend_few(const AttentionRows& rows, DType, const void* keys, const void* values,
                           const std::int32_t* seen) {
  static_assert(kAttendFewRows == 6);
  alignas(64) float scores[kAttendFewRows * kKeyBlock];
  alignas(64) u16 weights[kAttendFewRows * kKeyBlock];
  float correction[kAttendFewRows];
  i64 n_keys = 0;
  for (i64 r = 0; r < rows.n_rows; ++r) n_keys = seen[r] > n_keys ? seen[r] : n_keys;
  if (n_keys == 0) return;
  const auto* queries = static_cast<const u16*>(rows.queries);
  const auto* k = static_cast<const u16*>(keys);
  switch (rows.head_dim / kWide) {
    case 1:
      score_keys<1>(queries, rows.n_rows, k, n_keys, scores);
      break;
    case 2:
      score_keys<2>(queries, rows.n_rows, k, n_keys, scores);
      break;
    case 3:
      score_keys<3>(queries, rows.n_rows, k, n_keys, scores);
      break;
    case 4:
      score_keys<4>(queries, rows.n_rows, k, n_keys, scores);
      break;
    default:
      score_keys<8>(queries, rows.n_rows, k, n_keys, scores);
  }
  cap_scores(scores, rows.n_rows, n_keys, rows.soft_cap);
  hide_entries(scores, rows.n_rows, rows.hidden);
  const i64 padded = (n_keys + kKeyTile - 1) / kKeyTile * kKeyTile;
  for (i64 r = 0; r < rows.n_rows; ++r) {
    correction[r] = weigh_scores(scores + r * kKeyBlock, seen[r], padded, rows.factor, rows.row_max[r], rows.row_sum[r],
                                 weights + r * kKeyBlock);
  }
  const auto* v = static_cast<const u16*>(values);
  switch (rows.n_rows) {
    case 1:
      return weigh_channels<1>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
    case 2:
      return weigh_channels<2>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
    case 3:
      return weigh_channels<3>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
    case 4:
      return weigh_channels<4>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
    case 5:
      return weigh_channels<5>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
    default:
      return weigh_channels<6>(weights, v, n_keys, rows.head_dim, correction, rows.accumulated);
  }
}

}  // namespace kvpress

#else

namespace kvpress {
void avx512bf16_attend_few(const AttentionRows&, DType, const void*, const void*, const std::int32_t*) {}
}  // namespace kvpress

#endif
