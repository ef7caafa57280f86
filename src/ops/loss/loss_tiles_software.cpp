// Compiled for processors with AVX-512 BF16 and called on nothing else.
#include "ops/loss/loss_tiles.h"

#ifdef __AVX512BF16__

#include "ops/tiles/tiles_software-inl.h"
// Tiles come first.
#include "ops/loss/loss_tiles-inl.h"

namespace kvpress {
const LossKernels* software_loss_kernels() { return &kLossKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const LossKernels* software_loss_kernels() { return nullptr; }
}  // namespace kvpress

#endif
