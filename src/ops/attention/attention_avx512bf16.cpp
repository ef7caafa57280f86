// Compiled for processors with AVX-512 BF16 and called on nothing else.
#include "ops/attention/attention_avx512bf16.h"

#ifdef __AVX512BF16__

#include "ops/attention/attention_avx512bf16-inl.h"

namespace kvpress {
namespace {

/// 6 rows x 4 vectors: 24 sums, 4 vectors of keys or values and 1 of the row fit the 32 registers.
constexpr int kRows = 6;
constexpr int kVectors = 4;

/// Asks for n elements line by line. The packing below reads several rows at once, which the processor's own
/// prefetching follows badly: memory gives half as much.
inline void prefetch(const u16* from, i64 n) {
  for (i64 i = 0; i < n; i += 32) _mm_prefetch(reinterpret_cast<const char*>(from + i), _MM_HINT_T0);
}

/// Keys become tiles of 64: [pair of channels][key][2], so that one instruction multiplies a pair of channels of a
/// query with those of 16 keys. That is the transpose of a matrix of pairs, done 4 x 4 at a time.
void pack_keys(const void* from, i64 n, i64 head_dim, void* packed) {
  const auto* keys = static_cast<const u16*>(from);
  const i64 n_pairs = head_dim / 2;
  const i64 tiles = (n + kKeyTile - 1) / kKeyTile;
  for (i64 tile = 0; tile < tiles; ++tile) {
    auto* to = static_cast<u32*>(packed) + tile * n_pairs * kKeyTile;
    const i64 left = n - tile * kKeyTile < kKeyTile ? n - tile * kKeyTile : kKeyTile;
    const u16* rows = keys + tile * kKeyTile * head_dim;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i offsets = _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int>(n_pairs)));
    i64 first = 0;
    for (; first + kLanes <= left; first += kLanes) {
      prefetch(rows + first * head_dim, kLanes * head_dim);
      i64 p = 0;
      for (; p + 4 <= n_pairs; p += 4) {
        // Four rows a register: lane block i of x[j] holds 4 pairs of key 4 i + j.
        __m512i x[4];
        for (int j = 0; j < 4; ++j) {
          const u16* at = rows + (first + j) * head_dim + 2 * p;
          __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
          v = _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 4 * head_dim)), 1);
          v = _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 8 * head_dim)), 2);
          x[j] = _mm512_inserti32x4(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 12 * head_dim)), 3);
        }
        const __m512i a = _mm512_unpacklo_epi32(x[0], x[1]);
        const __m512i b = _mm512_unpackhi_epi32(x[0], x[1]);
        const __m512i c = _mm512_unpacklo_epi32(x[2], x[3]);
        const __m512i d = _mm512_unpackhi_epi32(x[2], x[3]);
        u32* out = to + p * kKeyTile + first;
        _mm512_storeu_si512(out, _mm512_unpacklo_epi64(a, c));
        _mm512_storeu_si512(out + kKeyTile, _mm512_unpackhi_epi64(a, c));
        _mm512_storeu_si512(out + 2 * kKeyTile, _mm512_unpacklo_epi64(b, d));
        _mm512_storeu_si512(out + 3 * kKeyTile, _mm512_unpackhi_epi64(b, d));
      }
      for (; p < n_pairs; ++p) {
        const __m512i v = _mm512_i32gather_epi32(offsets, rows + first * head_dim + 2 * p, 4);
        _mm512_storeu_si512(to + p * kKeyTile + first, v);
      }
    }
    for (; first < kKeyTile; ++first) {
      for (i64 p = 0; p < n_pairs; ++p) {
        to[p * kKeyTile + first] = first < left ? load_pair(rows + first * head_dim + 2 * p) : 0;
      }
    }
  }
}

/// Values become [pair of keys][channel][2].
void pack_values(const void* from, i64 n, i64 head_dim, void* packed) {
  const auto* values = static_cast<const u16*>(from);
  const i64 cols = padded_head_dim(head_dim);
  const i64 padded = (n + kKeyTile - 1) / kKeyTile * kKeyTile;
  for (i64 key = 0; key < padded; key += 2) {
    auto* to = static_cast<u32*>(packed) + key / 2 * cols;
    for (i64 c = 0; c < cols; c += kLanes) {
      const i64 left = head_dim - c;
      const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
      const __m256i zero = _mm256_setzero_si256();
      const u16* at = values + key * head_dim + c;
      const __m256i even = key < n ? _mm256_mask_loadu_epi16(zero, mask, at) : zero;
      const __m256i odd = key + 1 < n ? _mm256_mask_loadu_epi16(zero, mask, at + head_dim) : zero;
      const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
      _mm512_storeu_si512(to + c, _mm512_or_si512(high, _mm512_cvtepu16_epi32(even)));
    }
  }
}

/// scores[r][0..64) of Rows rows with one tile of keys.
template <int Rows>
void score_tile(const u16* queries, i64 head_dim, const u32* keys, float* scores, bool accumulate) {
  __m512 sum[Rows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = accumulate ? _mm512_loadu_ps(scores + r * kKeyBlock + v * kLanes) : _mm512_setzero_ps();
    }
  }
  for (i64 p = 0; p < head_dim / 2; ++p) {
    __m512i key[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) key[v] = _mm512_loadu_si512(keys + p * kKeyTile + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m512i query = _mm512_set1_epi32(static_cast<int>(load_pair(queries + r * head_dim + 2 * p)));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = multiply_pairs(sum[r][v], query, key[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(scores + r * kKeyBlock + v * kLanes, sum[r][v]);
  }
}

/// accumulated[r] = accumulated[r] * correction[r] + weights[r] . values, for Rows rows and Vectors x 16 channels.
template <int Rows, int Vectors>
void weigh_tile(const u16* weights, i64 n_keys, const u32* values, i64 cols, const float* correction, float* out) {
  __m512 sum[Rows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
    const __m512 factor = _mm512_set1_ps(correction[r]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_mul_ps(factor, _mm512_loadu_ps(out + r * cols + v * kLanes));
  }
  for (i64 p = 0; p < n_keys / 2; ++p) {
    __m512i value[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) value[v] = _mm512_loadu_si512(values + p * cols + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m512i weight = _mm512_set1_epi32(static_cast<int>(load_pair(weights + r * kKeyBlock + 2 * p)));
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = multiply_pairs(sum[r][v], weight, value[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) _mm512_storeu_ps(out + r * cols + v * kLanes, sum[r][v]);
  }
}

template <int Rows>
void weigh_rows(const u16* weights, i64 n_keys, const u32* values, i64 cols, const float* correction, float* out) {
  i64 c = 0;
  for (; c + kVectors * kLanes <= cols; c += kVectors * kLanes) {
    weigh_tile<Rows, kVectors>(weights, n_keys, values + c, cols, correction, out + c);
  }
  switch ((cols - c) / kLanes) {
    case 1:
      weigh_tile<Rows, 1>(weights, n_keys, values + c, cols, correction, out + c);
      break;
    case 2:
      weigh_tile<Rows, 2>(weights, n_keys, values + c, cols, correction, out + c);
      break;
    case 3:
      weigh_tile<Rows, 3>(weights, n_keys, values + c, cols, correction, out + c);
      break;
    default:
      break;
  }
}

void score_rows(const u16* queries, i64 n_rows, i64 head_dim, const u32* keys, i64 n_keys, float* scores,
                bool accumulate) {
  for (i64 j = 0; j < n_keys; j += kKeyTile) {
    const u32* tile = keys + j * (head_dim / 2);
    for (i64 r = 0; r < n_rows; r += kRows) {
      const u16* at = queries + r * head_dim;
      float* to = scores + r * kKeyBlock + j;
      switch (n_rows - r) {
        case 1:
          score_tile<1>(at, head_dim, tile, to, accumulate);
          break;
        case 2:
          score_tile<2>(at, head_dim, tile, to, accumulate);
          break;
        case 3:
          score_tile<3>(at, head_dim, tile, to, accumulate);
          break;
        case 4:
          score_tile<4>(at, head_dim, tile, to, accumulate);
          break;
        case 5:
          score_tile<5>(at, head_dim, tile, to, accumulate);
          break;
        default:
          score_tile<6>(at, head_dim, tile, to, accumulate);
      }
    }
  }
}

void weigh_values(const u16* weights, i64 n_rows, i64 n_keys, const u32* values, i64 cols, const float* correction,
                  float* out) {
  for (i64 r = 0; r < n_rows; r += kRows) {
    const u16* at = weights + r * kKeyBlock;
    float* to = out + r * cols;
    switch (n_rows - r) {
      case 1:
        weigh_rows<1>(at, n_keys, values, cols, correction + r, to);
        break;
      case 2:
        weigh_rows<2>(at, n_keys, values, cols, correction + r, to);
        break;
      case 3:
        weigh_rows<3>(at, n_keys, values, cols, correction + r, to);
        break;
      case 4:
        weigh_rows<4>(at, n_keys, values, cols, correction + r, to);
        break;
      case 5:
        weigh_rows<5>(at, n_keys, values, cols, correction + r, to);
        break;
      default:
        weigh_rows<6>(at, n_keys, values, cols, correction + r, to);
    }
  }
}

/// With kKeep, `kept` takes the weights in float32, as attend_and_keep() does.
template <bool kKeep>
void attend_rows(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen,
                 float* kept) {
  alignas(64) float own_scores[kKeep ? 1 : kRowGroup * kKeyBlock];
  alignas(64) u16 weights[kRowGroup * kKeyBlock];
  float correction[kRowGroup];
  const i64 cols = padded_head_dim(rows.head_dim);
  for (i64 first = 0; first < rows.n_rows; first += kRowGroup) {
    const i64 n = rows.n_rows - first < kRowGroup ? rows.n_rows - first : kRowGroup;
    i64 most = 0;
    for (i64 r = 0; r < n; ++r) most = seen[first + r] > most ? seen[first + r] : most;
    if (most == 0) continue;
    const i64 n_keys = (most + kKeyTile - 1) / kKeyTile * kKeyTile;
    const u16* queries = static_cast<const u16*>(rows.queries) + first * rows.head_dim;
    float* scores = kKeep ? kept + first * kKeyBlock : own_scores;
    score_rows(queries, n, rows.head_dim, static_cast<const u32*>(keys), n_keys, scores, false);
    cap_scores(scores, n, n_keys, rows.soft_cap);
    hide_entries(scores, n, rows.hidden == nullptr ? nullptr : rows.hidden + first);
    for (i64 r = 0; r < n; ++r) {
      correction[r] = weigh_scores<kKeep>(scores + r * kKeyBlock, seen[first + r], n_keys, rows.factor,
                                          rows.row_max[first + r], rows.row_sum[first + r], weights + r * kKeyBlock);
    }
    weigh_values(weights, n, n_keys, static_cast<const u32*>(values), cols, correction,
                 rows.accumulated + first * cols);
  }
}

void attend(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen) {
  attend_rows<false>(rows, keys, values, seen, nullptr);
}

void attend_and_keep(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen,
                     float* weights) {
  attend_rows<true>(rows, keys, values, seen, weights);
}

void scores(const void* queries, i64 n_rows, i64 head_dim, const void* keys, i64 n_keys, float* out, bool accumulate) {
  score_rows(static_cast<const u16*>(queries), n_rows, head_dim, static_cast<const u32*>(keys),
             (n_keys + kKeyTile - 1) / kKeyTile * kKeyTile, out, accumulate);
}

constexpr AttentionKernels kKernels{2, pack_keys, pack_values, attend, attend_and_keep, scores, avx512bf16_attend_few};

}  // namespace

const AttentionKernels* avx512bf16_attention_kernels() { return &kKernels; }

}  // namespace kvpress

#else

namespace kvpress {
const AttentionKernels* avx512bf16_attention_kernels() { return nullptr; }
}  // namespace kvpress

#endif
