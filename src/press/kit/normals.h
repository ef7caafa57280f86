// Standard normal numbers for random projections, equal to those of NumPy so that results can be compared.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <span>

#include "kvpress/press/press.h"

namespace kvpress {

/// The numbers of numpy.random.RandomState(seed).standard_normal(): MT19937, uniform numbers of 53 bits, Marsaglia's
/// polar method (https://doi.org/10.1137/1006063). The second number of each pair comes first.
inline void fill_standard_normals(std::uint32_t seed, std::span<float> out) {
  std::mt19937 generator(seed);
  const auto uniform = [&] {
    const auto high = static_cast<double>(generator() >> 5);
    const auto low = static_cast<double>(generator() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  };
  for (std::size_t i = 0; i < out.size(); i += 2) {
    double x = 0;
    double y = 0;
    double square = 0;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double factor = std::sqrt(-2 * std::log(square) / square);
    out[i] = static_cast<float>(factor * y);
    if (i + 1 < out.size()) out[i + 1] = static_cast<float>(factor * x);
  }
}

/// The seed for a layer. It is the same in every call of a run.
inline std::uint32_t layer_seed(const LayerView& layer) {
  return static_cast<std::uint32_t>(layer.budget.seed * 7919 + static_cast<std::uint64_t>(layer.block.layer) * 104729);
}

}  // namespace kvpress
