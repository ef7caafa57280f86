// What kernels on tiles share beside the tiles, for files compiled for AVX-512 BF16.
#pragma once

#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

constexpr int kLanes = 16;
/// Numbers of two bytes in a tile.
constexpr i64 kTileHalves = 512;
/// Numbers of four bytes.
constexpr i64 kTileFloats = 256;

/// Denormal numbers count as zero, as they do in tiles; weights that small would cost a hundred cycles each.
class FlushDenormals {
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned before_;
};

/// Keeps a constant in a register: gcc would read it again in each round.
template <typename Vector>
inline void hold(Vector& x) {
  asm("" : "+v"(x));
}

/// x less the next whole number below.
inline __m512 fraction(__m512 x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

}  // namespace
}  // namespace kvpress
