// Attention of many queries over a bfloat16 cache on tiles.
#pragma once

#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_tiles.h"

namespace kvpress {

/// The kernels for this attention, or null where it is not one for tiles.
const TileKernels* tile_kernels_for(const AttentionArgs& args);

/// attention(), without column sums.
void attend_tiles(const TileKernels& kernels, const AttentionArgs& args, const Activations& out);

}  // namespace kvpress
