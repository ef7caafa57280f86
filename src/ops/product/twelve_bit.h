// Weights of bfloat16 held in 12 bits without loss: nearly all of a matrix's exponents are 0 or among 15 that follow
// each other. Decoding with bfloat16 weights is as fast as memory is, and here it reads a quarter less. (That exponents
// of trained weights carry less than 3 bits: DFloat11, https://arxiv.org/abs/2504.11651. Its codes of varying length
// are for GPUs; these of 4 bits are decoded as fast as memory gives them.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kvpress/base/memory.h"
#include "ops/product/compact_weights.h"
#include "ops/product/few_rows_kernels.h"
#include "ops/product/twelve_bit_kernels.h"

namespace kvpress {

/// A weight whose exponent has no code.
struct StrayWeight {
  std::int32_t input = 0;
  std::uint16_t column = 0;  ///< of its panel
  std::uint16_t bits = 0;    ///< of bfloat16
};

/// Copies share the weights.
class TwelveBitWeights final : public CompactWeights {
 public:
  /// Weights of which more than one in so many has an exponent without a code are not worth it.
  static constexpr std::int64_t kStrayShare = 500;

  /// Whether this processor multiplies them as fast as memory gives them.
  static bool fast();
  /// `rows` is called by several threads at once; what it yields is rounded to bfloat16. The weights lie in a piece of
  /// `arena`. None where too many exponents have no code, as a sample of the rows tells.
  static std::optional<TwelveBitWeights> pack(std::int64_t out, std::int64_t in, const WeightRows& rows,
                                              PageArena& arena);

  std::int64_t out_features() const override { return panels_.out; }
  std::int64_t in_features() const override { return panels_.in; }
  std::size_t bytes() const override { return bytes_; }
  /// Of inputs in bfloat16.
  std::int64_t most_rows() const override { return kManyFewRows; }
  void multiply(const Activations& x, std::span<const float> bias, Activation activation, bool accumulate,
                const Activations& y) const override;
  std::string_view kernel() const override { return "twelve_bit"; }
  /// To bfloat16 only.
  void decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const override;
  std::span<const std::byte> memory(std::int64_t first, std::int64_t n) const override;

  const TwelveBitPanels& panels() const { return panels_; }
  std::span<const StrayWeight> strays(std::int64_t panel) const { return (*strays_)[panel]; }

 private:
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0;
  TwelveBitPanels panels_;
  std::shared_ptr<const std::vector<std::vector<StrayWeight>>> strays_;  // by panel
};

/// The kernels' definition, in plain loops, and what other processors run.
const TwelveBitKernels& plain_twelve_bit_kernels();

/// The fastest for this processor.
const TwelveBitKernels& twelve_bit_kernels();

}  // namespace kvpress
