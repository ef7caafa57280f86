// The softmax of attention on tiles: rows of queries in lanes.
#pragma once

#include "ops/attention/attention_kernels.h"
#include "ops/attention/attention_tiles.h"
#include "ops/attention/tile_packing-inl.h"

namespace kvpress {
namespace {

/// Numbers of one block of 32 keys by 32 rows.
constexpr i64 kBlockNumbers = kTileKeys * kTileRows;

/// Two tiles of rows, a row in each lane, and their running softmax.
struct alignas(64) RowPair {
  float shift[2][kLanes];        // minus the reference
  float rounded_sum[2][kLanes];  // of weights 2^(exponent + shift), rounded to bfloat16 as they are multiplied
  float exact_sum[2][kLanes];    // of the same before they are rounded
  std::int32_t hidden[2][kLanes], seen[2][kLanes];
  bool started;  // whether results were accumulated

  // What any of the rows sees, and what all of them see.
  i64 first() const { return hidden[0][0]; }
  i64 end() const { return seen[1][kLanes - 1]; }
  bool all_see(i64 begin, i64 after) const { return hidden[1][kLanes - 1] <= begin && after <= seen[0][0]; }
};

/// Which rows see a key.
inline __mmask16 seeing(__m512i hidden, __m512i seen, i64 key) {
  const __m512i at = _mm512_set1_epi32(static_cast<int>(key));
  return _mm512_mask_cmple_epi32_mask(_mm512_cmpgt_epi32_mask(seen, at), hidden, at);
}

/// Half of the last place of numbers in bfloat16 from 1 to 2.
constexpr float kHalfPlace = 0x1p-8f;

/// 2^x, within 3e-6. With kToCut it is half a place more: cut off after the last place, it is rounded to nearest.
template <bool kToCut>
struct Power {
  __m512 c4 = _mm512_set1_ps(0.0135341671f), c3 = _mm512_set1_ps(0.0520114652f), c2 = _mm512_set1_ps(0.241442752f),
         c1 = _mm512_set1_ps(0.693003836f), c0 = _mm512_set1_ps(1.00000259f + (kToCut ? kHalfPlace : 0.0f));

  Power() {
    hold(c4);
    hold(c3);
    hold(c2);
    hold(c1);
    hold(c0);
  }
  template <bool kMask>
  __m512 of(__m512 x, __mmask16 mask) const {
    const __m512 rest = fraction(x);
    const __m512 y = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_fmadd_ps(c4, rest, c3), rest, c2), rest, c1);
    const __m512 mantissa = _mm512_fmadd_ps(y, rest, c0);
    return kMask ? _mm512_maskz_scalef_ps(mask, mantissa, x) : _mm512_scalef_ps(mantissa, x);
  }
};

/// What a pair's rows gain by some keys.
struct alignas(64) NewSums {
  float rounded_sum[2][kLanes] = {};
  float exact_sum[2][kLanes] = {};
};

/// Scores of `n_blocks` blocks of 32 keys become weights in pairs of keys, and are summed; the exact sums are left out
/// without kExact.
template <bool kMask, bool kExact>
[[gnu::noinline]] void weigh(const float* scores, i64 n_blocks, float factor, const RowPair& pair, i64 first_key,
                             u16* weights, NewSums& sums, const char* next_keys) {
  const Power<true> power;
  __m512 by = _mm512_set1_ps(factor);
  __m512i stays = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  hold(by);
  hold(stays);
  const __m512 one = _mm512_set1_ps(1.0f), half_place = _mm512_set1_ps(kHalfPlace);
  for (int tile = 0; tile < 2; ++tile) {
    const __m512 shift = _mm512_load_ps(pair.shift[tile]);
    const __m512i hidden = _mm512_load_si512(pair.hidden[tile]), seen = _mm512_load_si512(pair.seen[tile]);
    __m512 even_sum = _mm512_load_ps(sums.rounded_sum[tile]), odd_sum = _mm512_setzero_ps();
    __m512 sum = _mm512_setzero_ps(), powers_of_two = sum;
    for (i64 block = 0; block < n_blocks; ++block) {
      const float* from = scores + block * kBlockNumbers + tile * kTileHalves;
      u16* to = weights + block * kBlockNumbers + tile * kTileHalves;
      for (i64 i = 0; i < kTileKeys; i += 4) {
        __m512 weight[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          const __m512 exponent = _mm512_fmadd_ps(_mm512_load_ps(from + (i + j) * kLanes), by, shift);
          const __mmask16 mask = kMask ? seeing(hidden, seen, first_key + block * kTileKeys + i + j) : __mmask16{0};
          weight[j] = power.of<kMask>(exponent, mask);
          if (kExact) {
            sum = _mm512_add_ps(sum, weight[j]);
            const __m512 two = kMask ? _mm512_maskz_scalef_ps(mask, one, exponent) : _mm512_scalef_ps(one, exponent);
            powers_of_two = _mm512_add_ps(powers_of_two, two);
          }
          if (!kMask) _mm_prefetch(next_keys + j * 64, _MM_HINT_T0);
        }
        next_keys += 4 * 64;
#pragma GCC unroll 2
        for (int j = 0; j < 4; j += 2) {
          const __m512i even = _mm512_castps_si512(weight[j]);
          const __m512i odd = _mm512_and_si512(_mm512_castps_si512(weight[j + 1]), stays);
          even_sum = _mm512_add_ps(even_sum, _mm512_castsi512_ps(_mm512_and_si512(even, stays)));
          odd_sum = _mm512_add_ps(odd_sum, _mm512_castsi512_ps(odd));
          _mm512_store_si512(to + (i + j) * kLanes, _mm512_or_si512(_mm512_srli_epi32(even, 16), odd));
        }
      }
    }
    _mm512_store_ps(sums.rounded_sum[tile], _mm512_add_ps(even_sum, odd_sum));
    sum = _mm512_fnmadd_ps(half_place, powers_of_two, sum);
    _mm512_store_ps(sums.exact_sum[tile], _mm512_add_ps(_mm512_load_ps(sums.exact_sum[tile]), sum));
  }
}

/// What a block of scores adds to its columns.
enum class Reduction : unsigned char { sum, max };

/// columns[key][lane] of `n_blocks` blocks of 32 keys: the sum of the weights 2^(exponent + shift) of a pair's rows,
/// lane by lane, or the largest of exponent + shift.
template <Reduction kReduction, bool kMask>
[[gnu::noinline]] void reduce(const float* scores, i64 n_blocks, float factor, const RowPair& pair, i64 first_key,
                              float* columns) {
  const Power<false> power;
  __m512 by = _mm512_set1_ps(factor);
  hold(by);
  const __m512 shift[2] = {_mm512_load_ps(pair.shift[0]), _mm512_load_ps(pair.shift[1])};
  const __m512i hidden[2] = {_mm512_load_si512(pair.hidden[0]), _mm512_load_si512(pair.hidden[1])};
  const __m512i seen[2] = {_mm512_load_si512(pair.seen[0]), _mm512_load_si512(pair.seen[1])};
  for (i64 block = 0; block < n_blocks; ++block, scores += kBlockNumbers) {
    for (i64 i = 0; i < kTileKeys; ++i, ++first_key, columns += kLanes) {
      __m512 column = _mm512_load_ps(columns);
#pragma GCC unroll 2
      for (int tile = 0; tile < 2; ++tile) {
        const __m512 exponent =
            _mm512_fmadd_ps(_mm512_load_ps(scores + tile * kTileHalves + i * kLanes), by, shift[tile]);
        const __mmask16 mask = kMask ? seeing(hidden[tile], seen[tile], first_key) : static_cast<__mmask16>(0xffff);
        if (kReduction == Reduction::max) {
          column = _mm512_mask_max_ps(column, mask, column, exponent);
        } else {
          column = _mm512_add_ps(column, power.of<kMask>(exponent, mask));
        }
      }
      _mm512_store_ps(columns, column);
    }
  }
}

/// The lanes of 16 columns, to which they are added, or of which the larger stay.
inline void reduce_lanes(const float* columns, Reduction reduction, float* to) {
  __m512i rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(columns + i * kLanes);
  transpose(rows);
  __m512 sum = _mm512_castsi512_ps(rows[0]), max = sum;
#pragma GCC unroll 15
  for (int i = 1; i < 16; ++i) {
    sum = _mm512_add_ps(sum, _mm512_castsi512_ps(rows[i]));
    max = _mm512_max_ps(max, _mm512_castsi512_ps(rows[i]));
  }
  const __m512 before = _mm512_loadu_ps(to);
  _mm512_storeu_ps(to, reduction == Reduction::sum ? _mm512_add_ps(before, sum) : _mm512_max_ps(before, max));
}

}  // namespace
}  // namespace kvpress
