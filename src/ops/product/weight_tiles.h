// Weights as the matrix registers of AMX read them, for products that are one with something else. This header includes
// no more than it must: files compiled for newer processors include it.
#pragma once

#include <cstdint>

namespace kvpress {

/// Columns (outputs) that are shown at a time, in vectors of 16.
inline constexpr std::int64_t kTiledColumns = 128;
inline constexpr std::int64_t kTiledVectors = kTiledColumns / 16;
/// Inputs of a tile; those of a matrix are filled up with zeros to a multiple.
inline constexpr std::int64_t kTiledInputs = 32;

/// At most kTiledColumns columns of weights in bfloat16. Of each 16 the inputs lie in pairs, [input / 2][16
/// columns][2], the pairs `stride` bytes apart. Columns that fill up the last vector are zeros.
struct WeightTiles {
  const std::uint16_t* vectors[kTiledVectors] = {};
  std::int64_t stride = 0;
  std::int64_t n_columns = 0;
};

}  // namespace kvpress
