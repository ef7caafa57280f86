// SwiGLU on tiles: silu(gate) * up goes from the tiles of two products into the result. This header includes no more
// than it must: files compiled for newer processors include it.
#pragma once

#include <cstdint>

#include "ops/product/weight_tiles.h"
#include "ops/tiles/tiled_rows.h"

namespace kvpress {

/// Some columns of the gate, and as many of what it is a gate of.
struct GatedColumns {
  WeightTiles gate, up;
  const void* next[2] = {};         ///< what will be read after these weights
  std::int64_t next_bytes[2] = {};  ///< is fetched to the second-level cache meanwhile
};

struct GatedKernels {
  /// out[r * stride + c] = silu(gate) * up in bfloat16, for r < n_rows and all kTiledColumns columns.
  void (*silu)(const TiledRows& rows, const GatedColumns& columns, std::int64_t n_rows, std::uint16_t* out,
               std::int64_t stride);
};

/// Null where the compiler was not told to use these instructions. The caller asks the processor whether it has them.
/// Both compute the same, bit by bit: the second has AVX-512 BF16 alone, and models tiles in software.
const GatedKernels* amx_gated_kernels();
const GatedKernels* software_gated_kernels();

}  // namespace kvpress
