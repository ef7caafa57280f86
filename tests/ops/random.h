// Random input for the tests of the kernels: the same for the same seed, on every machine.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "kvpress/base/dtype.h"

namespace kvpress::testing {

/// n values of a normal distribution with this standard deviation.
inline std::vector<float> random_values(std::int64_t n, std::uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(generator);
  return values;
}

/// The values that survive bfloat16.
inline std::vector<float> rounded_to_bf16(std::vector<float> values) {
  for (float& value : values) value = to_float(from_float<bf16>(value));
  return values;
}

}  // namespace kvpress::testing
