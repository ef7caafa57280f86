// Input for the benchmarks: cheap pseudo-random numbers, about normal, the same every time.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/base/dtype.h"
#include "kvpress/base/memory.h"
#include "ops/rowwise.h"

namespace kvpress::bench {

inline AlignedVector<float> random_values(std::int64_t n, std::uint32_t seed = 1) {
  AlignedVector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) {
    float sum = -2.0f;
    for (int i = 0; i < 4; ++i) {
      seed = seed * 1664525u + 1013904223u;
      sum += static_cast<float>(seed >> 8) / static_cast<float>(1 << 24);
    }
    value = sum * 1.73f;
  }
  return values;
}

inline AlignedVector<std::byte> random_elements(std::int64_t n, DType type, std::uint32_t seed = 1) {
  const auto values = random_values(n, seed);
  AlignedVector<std::byte> bytes(values.size() * size_of(type));
  from_float(values.data(), bytes.data(), type, n);
  return bytes;
}

/// "f32", "bf16", "f16": short enough for the names of benchmarks.
inline const char* short_name(DType type) { return type == DType::f32 ? "f32" : type == DType::bf16 ? "bf16" : "f16"; }

}  // namespace kvpress::bench
