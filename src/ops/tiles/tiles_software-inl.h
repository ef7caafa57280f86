// A software model of the tile instructions, bit by bit what AMX computes, for files compiled for AVX-512 BF16: the
// code above it can be tested on processors without tiles.
#pragma once

#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

class Tiles {
 public:
  template <int kTile>
  void zero() {
    for (__m512i& row : rows_[kTile]) row = _mm512_setzero_si512();
  }
  template <int kTile>
  void load(const void* from, i64 stride) {
    const auto* at = static_cast<const char*>(from);
    for (i64 r = 0; r < 16; ++r) rows_[kTile][r] = _mm512_loadu_si512(at + r * stride);
  }
  template <int kTile>
  void store(void* to, i64 stride) {
    auto* at = static_cast<char*>(to);
    for (i64 r = 0; r < 16; ++r) _mm512_storeu_si512(at + r * stride, rows_[kTile][r]);
  }
  /// Even and odd numbers are summed apart, in their order, then added to what is there. Products of two bfloat16
  /// numbers are exact in float32, so that it does not matter that they are fused with the sums.
  template <int kSum, int kA, int kB>
  void multiply() {
    for (int m = 0; m < 16; ++m) {
      alignas(64) int pairs[16];
      _mm512_store_si512(pairs, rows_[kA][m]);
      __m512 even_sum = _mm512_setzero_ps(), odd_sum = even_sum;
      for (int k = 0; k < 16; ++k) {
        const __m512i a = _mm512_set1_epi32(pairs[k]);
        even_sum = _mm512_fmadd_ps(even(a), even(rows_[kB][k]), even_sum);
        odd_sum = _mm512_fmadd_ps(odd(a), odd(rows_[kB][k]), odd_sum);
      }
      const __m512 sum = _mm512_castsi512_ps(rows_[kSum][m]);
      rows_[kSum][m] = _mm512_castps_si512(_mm512_add_ps(sum, _mm512_add_ps(even_sum, odd_sum)));
    }
  }

 private:
  static __m512 even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
  static __m512 odd(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }

  __m512i rows_[8][16];
};

}  // namespace
}  // namespace kvpress
