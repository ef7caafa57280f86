// Compiled for processors with AMX and called on nothing else.
#include "ops/loss/loss_tiles.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include "ops/tiles/tiles_amx-inl.h"
// Tiles come first.
#include "ops/loss/loss_tiles-inl.h"

namespace kvpress {
const LossKernels* amx_loss_kernels() { return &kLossKernels; }
}  // namespace kvpress

#else

namespace kvpress {
const LossKernels* amx_loss_kernels() { return nullptr; }
}  // namespace kvpress

#endif
