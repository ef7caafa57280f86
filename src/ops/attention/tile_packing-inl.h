// How queries, values and results go into tiles and out of them, for files compiled for AVX-512 BF16.
#pragma once

#include "ops/attention/attention_tiles.h"
#include "ops/tiles/tile_math-inl.h"

namespace kvpress {
namespace {

/// A matrix of 16 x 16 numbers of four bytes.
inline void transpose(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    rows[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    rows[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

inline void store_tile(const __m512i (&rows)[16], u16* tile) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_si512(tile + i * 32, rows[i]);
}

/// Channels [16 m, 16 m + 16) of at most 32 entries: [channel][entry].
inline void pack_value_tile(const u16* values, i64 n, i64 head_dim, u16* tile) {
  const __m256i zero = _mm256_setzero_si256();
  __m512i rows[16];
#pragma GCC unroll 16
  for (int p = 0; p < 16; ++p) {
    const u16* at = values + 2 * p * head_dim;
    const __m256i even = 2 * p < n ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)) : zero;
    const __m256i odd = 2 * p + 1 < n ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + head_dim)) : zero;
    rows[p] = _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16), _mm512_cvtepu16_epi32(even));
  }
  transpose(rows);
  store_tile(rows, tile);
}

void pack_tile_values(const u16* values, i64 n, i64 head_dim, u16* packed) {
  for (i64 first = 0; first < n; first += kTileKeys) {
    const i64 count = n - first < kTileKeys ? n - first : kTileKeys;
    for (i64 c = 0; c < tiled_head_dim(head_dim); c += kLanes, packed += kTileHalves) {
      if (c < head_dim) {
        pack_value_tile(values + first * head_dim + c, count, head_dim, packed);
      } else {
        for (i64 i = 0; i < kTileHalves; i += 32) _mm512_store_si512(packed + i, _mm512_setzero_si512());
      }
    }
  }
}

inline __m512i to_bf16(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }

/// 16 rows of queries: a tile for each 32 channels, [pair of channels][row][2], `stride` apart.
inline void pack_query_tiles(const float* const (&queries)[kLanes], i64 head_dim, u16* tiles, i64 stride) {
  for (i64 c = 0; c < head_dim; c += 32, tiles += stride) {
    const auto there = static_cast<__mmask16>(c + kLanes < head_dim ? 0xffff : 0);
    __m512i rows[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
      const float* at = queries[r] + c;
      rows[r] = to_bf16(_mm512_loadu_ps(at), _mm512_maskz_loadu_ps(there, at + kLanes));
    }
    transpose(rows);
    store_tile(rows, tiles);
  }
}

/// A tile of results, [channel][row], times each row's factor, as [row][channel].
inline void scale_and_turn(const float* tile, __m512 factor, __m512i (&rows)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    rows[i] = _mm512_castps_si512(_mm512_mul_ps(factor, _mm512_load_ps(tile + i * kLanes)));
  }
  transpose(rows);
}

/// Channels [c, c + 32) of the first n of 16 rows, or 16 channels where there are no more, from tiles `stride` apart.
inline void write_channels(const float* tiles, i64 stride, __m512 factor, void* const* out, i64 n, i64 c, i64 head_dim,
                           bool as_bf16) {
  const auto there = static_cast<__mmask16>(c + kLanes < head_dim ? 0xffff : 0);
  const auto pairs_there = static_cast<__mmask16>(there != 0 ? 0xffff : 0xff);
  __m512i low[16], high[16];
  scale_and_turn(tiles, factor, low);
  scale_and_turn(tiles + stride, factor, high);
  for (i64 r = 0; r < n; ++r) {
    const __m512 first = _mm512_castsi512_ps(low[r]), second = _mm512_castsi512_ps(high[r]);
    if (as_bf16) {
      _mm512_mask_storeu_epi32(static_cast<u16*>(out[r]) + c, pairs_there, to_bf16(first, second));
    } else {
      _mm512_storeu_ps(static_cast<float*>(out[r]) + c, first);
      _mm512_mask_storeu_ps(static_cast<float*>(out[r]) + c + kLanes, there, second);
    }
  }
}

}  // namespace
}  // namespace kvpress
