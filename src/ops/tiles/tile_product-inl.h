// Products of rows and weights on tiles, for files that have included a class Tiles, and 2^x. Rows are the first
// operand of the tiles and weights the second, as oneDNN packs them for its own products: so weights are read in place,
// and a row of the result comes out as vectors of columns.
#pragma once

#include "ops/product/weight_tiles.h"
#include "ops/tiles/tile_math-inl.h"
#include "ops/tiles/tiled_rows.h"

namespace kvpress {
namespace {

/// Products of kTiledRows rows with kTiledColumns columns, a row after the other.
constexpr i64 kProducts = kTiledRows * kTiledColumns;
constexpr i64 kProductBytes = kTiledColumns * 4;  // of a row
constexpr int kVectors = static_cast<int>(kTiledVectors);

/// Steps of 32 inputs that are multiplied at a time: rows of that many inputs stay in the first-level cache.
constexpr i64 kMostSteps = 20;

/// 2^x, within 2e-7.
class Exponential {
 public:
  Exponential() {
    for (__m512& it : c_) hold(it);
  }
  __m512 of(__m512 x) const {
    const __m512 rest = fraction(x);
    __m512 y = _mm512_fmadd_ps(c_[5], rest, c_[4]);
    y = _mm512_fmadd_ps(y, rest, c_[3]);
    y = _mm512_fmadd_ps(y, rest, c_[2]);
    y = _mm512_fmadd_ps(y, rest, c_[1]);
    y = _mm512_fmadd_ps(y, rest, c_[0]);
    return _mm512_scalef_ps(y, x);
  }

 private:
  __m512 c_[6] = {_mm512_set1_ps(0.99999994f),  _mm512_set1_ps(0.69315308f),   _mm512_set1_ps(0.24015361f),
                  _mm512_set1_ps(0.055826318f), _mm512_set1_ps(0.0089893397f), _mm512_set1_ps(0.0018775767f)};
};

/// Tiles 0 to 3 accumulate two vectors of columns of 32 rows, past `n_steps` steps.
inline void multiply_steps(Tiles& tiles, const u16* rows, const u16* left, const u16* right, i64 stride, i64 n_steps) {
  for (i64 step = 0; step < n_steps; ++step) {
    tiles.load<4>(rows, 64);
    tiles.load<6>(left, stride);
    tiles.multiply<0, 4, 6>();
    tiles.load<7>(right, stride);
    tiles.multiply<1, 4, 7>();
    tiles.load<5>(rows + kTileHalves, 64);
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
    rows += 2 * kTileHalves;
    left += 8 * stride;  // 16 pairs of inputs
    right += 8 * stride;
  }
}

inline void start_sums(Tiles& tiles, const float* products, bool accumulate) {
  if (!accumulate) {
    tiles.zero<0>();
    tiles.zero<1>();
    tiles.zero<2>();
    tiles.zero<3>();
    return;
  }
  tiles.load<0>(products, kProductBytes);
  tiles.load<1>(products + kLanes, kProductBytes);
  tiles.load<2>(products + 16 * kTiledColumns, kProductBytes);
  tiles.load<3>(products + 16 * kTiledColumns + kLanes, kProductBytes);
}

/// products[row][column] of 32 rows.
void multiply(Tiles& tiles, const u16* rows, i64 n_steps, const WeightTiles& weights, float* products) {
  const i64 n_parts = (n_steps + kMostSteps - 1) / kMostSteps;
  const i64 steps_of_part = (n_steps + n_parts - 1) / n_parts;
  for (i64 first = 0; first < n_steps; first += steps_of_part) {
    const i64 n = n_steps - first < steps_of_part ? n_steps - first : steps_of_part;
    const i64 offset = first * 8 * weights.stride;
    for (i64 v = 0; v * kLanes < weights.n_columns; v += 2) {
      // The last vector may have none beside it; then nobody looks at what comes out there.
      const i64 beside = (v + 1) * kLanes < weights.n_columns ? v + 1 : v;
      float* const to = products + v * kLanes;
      start_sums(tiles, to, first > 0);
      multiply_steps(tiles, rows + first * 2 * kTileHalves, weights.vectors[v] + offset,
                     weights.vectors[beside] + offset, weights.stride, n);
      tiles.store<0>(to, kProductBytes);
      tiles.store<1>(to + kLanes, kProductBytes);
      tiles.store<2>(to + 16 * kTiledColumns, kProductBytes);
      tiles.store<3>(to + 16 * kTiledColumns + kLanes, kProductBytes);
    }
  }
}

/// What is to be read next is asked for as the groups of rows pass, so that nothing waits for memory.
inline void prefetch(const void* next, i64 n_bytes, i64 group, i64 n_groups) {
  const i64 lines = (n_bytes + 63) / 64;
  for (i64 i = lines * group / n_groups; i < lines * (group + 1) / n_groups; ++i) {
    _mm_prefetch(static_cast<const char*>(next) + i * 64, _MM_HINT_T1);
  }
}

}  // namespace
}  // namespace kvpress
