// Models of random weights: for measuring, and for tests of what must hold whatever the numbers.
#pragma once

#include <cstdint>

#include "kvpress/model/model.h"

namespace kvpress {

/// The same seed gives the same weights. Norms are ones, biases 0; activations of all layers come out of a like size,
/// as a trained model's do. Throws Error for what check_supported() refuses.
Model random_model(const ModelConfig& config, const DTypeChoice& dtype, std::uint64_t seed);

}  // namespace kvpress
