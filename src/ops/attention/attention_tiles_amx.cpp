// Compiled for processors with AMX and called on nothing else.
#include "ops/attention/attention_tiles.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "ops/tiles/tiles_amx-inl.h"
// Tiles come first.
#include "ops/attention/attention_tiles-inl.h"

namespace kvpress {
const TileKernels* amx_tile_kernels() { return &kTileKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const TileKernels* amx_tile_kernels() { return nullptr; }
}  // namespace kvpress

#endif
