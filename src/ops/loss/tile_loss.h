// The losses of output_loss.h on tiles.
#pragma once

#include <cstdint>
#include <span>

#include "ops/loss/loss_tiles.h"
#include "ops/output_loss.h"

namespace kvpress {

/// The kernels for this output product, or null where it is not one for tiles: not in bfloat16, with a bias, of very
/// wide hidden states, or on a processor without them.
const LossKernels* loss_kernels_for(const OutputHead& head);

/// output_cross_entropy().
void tile_cross_entropy(const LossKernels& kernels, Matrix<const float> hidden, const OutputHead& head,
                        std::span<const std::int32_t> targets, std::span<float> nll, std::span<float> log_sums);

/// output_compare().
void tile_compare(const LossKernels& kernels, const ScoredStates& full, const ScoredStates& compressed,
                  const OutputHead& head, std::span<float> kl, std::span<std::uint8_t> same_top);

}  // namespace kvpress
