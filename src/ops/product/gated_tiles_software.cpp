// Compiled for processors with AVX-512 BF16 and called on nothing else.
#include "ops/product/gated_tiles.h"

#ifdef __AVX512BF16__

#include "ops/tiles/tiles_software-inl.h"
// Tiles come first.
#include "ops/product/gated_tiles-inl.h"

namespace kvpress {
const GatedKernels* software_gated_kernels() { return &kGatedKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const GatedKernels* software_gated_kernels() { return nullptr; }
}  // namespace kvpress

#endif
