// Weights in two bytes that stay so where products are computed in float32: nothing is lost, and decoding, whose time
// is that of reading the weights, takes half of it.
#pragma once

#include <cstdint>
#include <memory>

#include "kvpress/base/memory.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/compact_weights.h"
#include "ops/product/few_rows_kernels.h"

namespace kvpress {

/// Weights [out, in] in bfloat16 or float16, packed in panels of 32 outputs, filled up with zeros: [panel][input][32].
/// Copies share them.
class HalfWeights final : public CompactWeights {
 public:
  /// `rows` is called by several threads at once; what it yields is rounded to `type`. The weights lie in a piece of
  /// `arena`.
  HalfWeights(std::int64_t out, std::int64_t in, DType type, const WeightRows& rows, PageArena& arena);

  DType type() const { return type_; }
  const PackedWeights& panels() const { return panels_; }
  std::int64_t out_features() const override { return panels_.out; }
  std::int64_t in_features() const override { return panels_.in; }
  std::size_t bytes() const override { return bytes_; }
  /// Of inputs in float32.
  std::int64_t most_rows() const override { return kManyFewRows; }
  void multiply(const Activations& x, std::span<const float> bias, Activation activation, bool accumulate,
                const Activations& y) const override;
  std::string_view kernel() const override { return "few_rows"; }
  /// To float32 only.
  void decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const override;

 private:
  DType type_;
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0;
  PackedWeights panels_;
};

}  // namespace kvpress
