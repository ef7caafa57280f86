// The tile instructions, for files compiled for AMX. The compilers' own intrinsics do not say that they read and write
// memory (gcc 12) and take no template arguments, hence assembler.
#pragma once

#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

/// What the processor is told of its tiles.
struct alignas(64) TileConfig {
  unsigned char palette = 1;
  unsigned char reserved[15] = {};
  unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

/// Eight tiles of 16 rows of 64 bytes. They are this thread's from here to the end of the object, and must not be
/// anybody else's meanwhile: oneDNN configures tiles of its own in each of its calls.
class Tiles {
 public:
  Tiles() {
    const TileConfig config;
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  ~Tiles() { asm volatile("tilerelease" ::: "memory"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  void load(const void* from, i64 stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, i64 stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  /// sum[m][n] += a[m] . b[n], of 16 x 32 by 32 x 16 bfloat16 numbers; b holds pairs: [k / 2][n][2].
  template <int kSum, int kA, int kB>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
  }
};

}  // namespace
}  // namespace kvpress
