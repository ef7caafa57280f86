// SwiGLU on tiles, for files that have included a class Tiles.
#pragma once

#include "ops/product/gated_tiles.h"
#include "ops/tiles/tile_product-inl.h"

namespace kvpress {
namespace {

/// silu(gate) * up = gate / (1 + exp(-gate)) * up.
class Silu {
 public:
  Silu() {
    hold(minus_log2e_);
    hold(most_);
    hold(one_);
  }
  __m512 of(__m512 gate, __m512 up) const {
    // Within what float32 holds, so that the reciprocal is a number; gates that are none stay so.
    const __m512 exponent = _mm512_min_ps(most_, _mm512_mul_ps(gate, minus_log2e_));
    const __m512 below = _mm512_add_ps(one_, exponential_.of(exponent));
    __m512 inverse = _mm512_rcp14_ps(below);
    inverse = _mm512_fmadd_ps(inverse, _mm512_fnmadd_ps(below, inverse, one_), inverse);
    return _mm512_mul_ps(_mm512_mul_ps(gate, inverse), up);
  }

 private:
  Exponential exponential_;
  __m512 minus_log2e_ = _mm512_set1_ps(-1.44269504f), most_ = _mm512_set1_ps(125.0f), one_ = _mm512_set1_ps(1.0f);
};

void silu(const TiledRows& rows, const GatedColumns& columns, i64 n_rows, u16* out, i64 stride) {
  const FlushDenormals flush;
  Tiles tiles;
  alignas(64) float gates[kProducts];
  alignas(64) float ups[kProducts];
  const Silu silu;
  const i64 n_groups = rows.n_rows / kTiledRows;
  for (i64 group = 0; group < n_groups; ++group) {
    for (int i = 0; i < 2; ++i) prefetch(columns.next[i], columns.next_bytes[i], group, n_groups);
    const u16* const of_group = rows.tiles + group * rows.n_steps * 2 * kTileHalves;
    multiply(tiles, of_group, rows.n_steps, columns.gate, gates);
    multiply(tiles, of_group, rows.n_steps, columns.up, ups);
    const i64 first = group * kTiledRows;
    const i64 n = n_rows - first < kTiledRows ? n_rows - first : kTiledRows;
    for (i64 r = 0; r < n; ++r) {
      const float* gate = gates + r * kTiledColumns;
      const float* up = ups + r * kTiledColumns;
      u16* to = out + (first + r) * stride;
#pragma GCC unroll 4
      for (i64 c = 0; c < kTiledColumns; c += 2 * kLanes) {
        const __m512 low = silu.of(_mm512_load_ps(gate + c), _mm512_load_ps(up + c));
        const __m512 high = silu.of(_mm512_load_ps(gate + c + kLanes), _mm512_load_ps(up + c + kLanes));
        _mm512_storeu_si512(to + c, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
      }
    }
  }
}

constexpr GatedKernels kGatedKernels{silu};

}  // namespace
}  // namespace kvpress
