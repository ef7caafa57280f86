// Weights in fewer bits than products are computed in. A few rows are multiplied with them as they stand: decoding,
// whose time is that of reading the weights, reads less. For many rows they are decoded, a part at a time
// (linear_compact.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {

/// Where decoded weights go: [input][column], columns in panels of `width`; bfloat16 possibly with the inputs in pairs,
/// [input / 2][column][2].
struct DecodedPanels {
  void* data = nullptr;
  DType type = DType::f32;        ///< float32 or bfloat16
  std::int64_t in = 0;            ///< inputs with those filled up: these are written as zeros
  std::int64_t width = 0;         ///< a multiple of 16
  std::int64_t panel_stride = 0;  ///< elements
  std::int64_t pair = 1;

  /// The place of a weight, in elements.
  std::int64_t at(std::int64_t column, std::int64_t input) const {
    return column / width * panel_stride + input / pair * pair * width + column % width * pair + input % pair;
  }
};

/// Weights [out, in], packed.
class CompactWeights {
 public:
  virtual ~CompactWeights() = default;
  virtual std::int64_t out_features() const = 0;
  virtual std::int64_t in_features() const = 0;
  virtual std::size_t bytes() const = 0;

  /// y = activation(x W^T + bias), or y += with `accumulate` (float32), for at most most_rows() rows.
  virtual void multiply(const Activations& x, std::span<const float> bias, Activation activation, bool accumulate,
                        const Activations& y) const = 0;
  /// Up to so many rows multiply() is faster than decoding, or all that its accuracy is meant for.
  virtual std::int64_t most_rows() const { return Linear::kCompactRows; }
  /// What multiply() runs, for benchmarks.
  virtual std::string_view kernel() const = 0;

  /// Decodes n vectors of 16 columns from `first` on, a multiple of 4; the first goes to column 0.
  virtual void decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const = 0;
  /// Where most of what decode() reads lies, for prefetching; nothing where that would not help.
  virtual std::span<const std::byte> memory(std::int64_t /*first*/, std::int64_t /*n*/) const { return {}; }
};

}  // namespace kvpress
