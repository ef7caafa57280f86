// Rows as tiles read them, for products with weights (product/weight_tiles.h). This header includes no more than it
// must: files compiled for newer processors include it.
#pragma once

#include <cstdint>

namespace kvpress {

/// Rows that tiles take together.
inline constexpr std::int64_t kTiledRows = 32;

/// Rows in bfloat16, 32 after 32: [rows / 32][inputs / 32][2][16 rows][32 inputs], zeros where is none.
struct TiledRows {
  const std::uint16_t* tiles = nullptr;
  std::int64_t n_rows = 0;   ///< a multiple of kTiledRows
  std::int64_t n_steps = 0;  ///< of 32 inputs
};

}  // namespace kvpress
