// Weights in two bytes that stay so where products are computed in float32: nothing is lost, and decoding, whose time
// is that of reading the weights, takes half of it. A few rows are multiplied with them as they stream by (few_rows.h);
// for many rows columns are decoded, a part at a time (linear.cpp).
#pragma once

#include <cstdint>
#include <memory>

#include "kvpress/base/memory.h"
#include "kvpress/ops/few_rows_kernels.h"
#include "kvpress/ops/linear.h"
#include "kvpress/ops/quantized.h"

namespace kvpress {

/// Weights [out, in] in bfloat16 or float16, packed in panels of 32 outputs, filled up with zeros: [panel][input][32].
/// Copies share them.
class HalfWeights {
 public:
  /// `rows` is called by several threads at once; what it yields is rounded to `type`. The weights lie in a piece of
  /// `arena`.
  HalfWeights(std::int64_t out, std::int64_t in, DType type, const WeightRows& rows, PageArena& arena);

  DType type() const { return type_; }
  const PackedWeights& panels() const { return panels_; }
  std::size_t bytes() const { return bytes_; }

  /// Decodes n vectors of 16 columns from `first` on; the first goes to column 0. To float32 only.
  void decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const;

 private:
  DType type_;
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0;
  PackedWeights panels_;
};

}  // namespace kvpress
