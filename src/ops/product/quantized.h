// Weights in 8 and 4 bits that stay so in memory. A few rows are multiplied with the codes themselves, their inputs
// quantized to 8 bits for each 32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kvpress/base/memory.h"
#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/compact_weights.h"
#include "ops/product/quant_format.h"
#include "ops/product/quantized_kernels.h"

namespace kvpress {

/// Copies share the weights.
class QuantizedWeights final : public CompactWeights {
 public:
  /// `rows` is called by several threads at once. The weights lie in a piece of `arena`. Throws Error when a scale or
  /// a min is beyond float16.
  QuantizedWeights(std::int64_t out, std::int64_t in, const QuantFormat& format, const QuantRows& rows,
                   PageArena& arena);

  const QuantizedPanels& panels() const { return panels_; }
  std::int64_t out_features() const override { return panels_.out; }
  std::int64_t in_features() const override { return panels_.in; }
  std::size_t bytes() const override { return bytes_; }
  void multiply(const Activations& x, std::span<const float> bias, Activation activation, bool accumulate,
                const Activations& y) const override;
  std::string_view kernel() const override { return "quantized"; }
  void decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const override;
  std::span<const std::byte> memory(std::int64_t first, std::int64_t n) const override;

 private:
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0;
  QuantizedPanels panels_;
};

/// The definition, in plain loops, and what processors before AVX2 run.
void quantized_plain(const QuantizedPanels& weights, const QuantizedInputs& x, std::int64_t n_rows, std::int64_t first,
                     std::int64_t n, float* sums, std::int64_t stride);

/// Every kernel that runs on this processor, the fastest first.
std::span<const QuantizedKernel> quantized_kernels();

/// A row of inputs in 8 bits: codes [n_blocks * 32], scales [n_blocks], sums of the codes of 16 [n_blocks * 2]. `in`
/// inputs are filled up with zeros. scale = largest / 127.
void quantize_inputs(const float* x, std::int64_t in, std::int64_t n_blocks, std::int8_t* codes, float* scales,
                     std::int32_t* sums);

/// y = activation(x W^T + bias), or y += with `accumulate` (float32), for any number of rows, with inputs in 8 bits.
void quantized_few_rows(const QuantizedPanels& weights, QuantizedKernel kernel, const Activations& x,
                        std::span<const float> bias, Activation activation, bool accumulate, const Activations& y);

/// Decodes n panels of 16 columns from `first` on; the first goes to column 0. Exactly (code - zero) * scale + min in
/// float32, rounded to the type.
void decode_panels(const QuantizedPanels& weights, std::int64_t first, std::int64_t n, const DecodedPanels& to);

}  // namespace kvpress
