// Compiled for processors with AVX-512 BF16 and called on nothing else.
#include "ops/attention/attention_tiles.h"

#ifdef __AVX512BF16__

#include "ops/tiles/tiles_software-inl.h"
// Tiles come first.
#include "ops/attention/attention_tiles-inl.h"

namespace kvpress {
const TileKernels* software_tile_kernels() { return &kTileKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const TileKernels* software_tile_kernels() { return nullptr; }
}  // namespace kvpress

#endif
