// Compiled for processors with AMX and called on nothing else.
#include "ops/product/gated_tiles.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "ops/tiles/tiles_amx-inl.h"
// Tiles come first.
#include "ops/product/gated_tiles-inl.h"

namespace kvpress {
const GatedKernels* amx_gated_kernels() { return &kGatedKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const GatedKernels* amx_gated_kernels() { return nullptr; }
}  // namespace kvpress

#endif
