// What the kernels for bfloat16 weights in 12 bits see. This header includes no more than it must: a file compiled for
// newer processors includes it, and an inline function compiled there could end up in programs for older ones.
#pragma once

#include <cstdint>

namespace kvpress {

/// Columns (outputs) of a panel: four vectors of kColumns.
inline constexpr std::int64_t kTwelveBitColumns = 64;
/// Bytes of a panel's weights for two inputs.
inline constexpr std::int64_t kTwelveBitBytes = 192;

/// Weights [out, in] of bfloat16. A weight's exponent is a code of 4 bits: 0 is exponent 0 (zeros and denormal
/// numbers), code c is first_exponent + c; its sign and mantissa are 8 bits more. The few weights of other exponents
/// count as zeros here.
///
/// Panels hold 64 outputs each, one pair of inputs after the other, filled up with zeros. A pair's 4 x 16 columns x 2
/// inputs are 96 words of 16 bits; with word i that of input i % 2 and of columns i / 2, 16 + i / 2, 32 + i / 2, 48 + i
/// / 2 (here a, b, c, d):
///   [32] codes of a, b, c, d, from the lowest 4 bits up
///   [32] a's sign and mantissa in the low byte, b's in the high one
///   [32] the same of c and d
struct TwelveBitPanels {
  const void* data = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t n_pairs = 0;
  int first_exponent = 0;  ///< 0 ... 239
};

/// How the processor does what the plain functions of twelve_bit.h define.
struct TwelveBitKernels {
  /// Writes one pair after the other of a panel: `rows` are its kTwelveBitColumns outputs, `stride` elements apart.
  void (*pack)(const std::uint16_t* rows, std::int64_t stride, const TwelveBitPanels& panels, void* panel);
  /// sums[r * stride + c] = x[r] . W[64 * panel + c], for c < 64 and n_rows <= kProductRows rows of bfloat16.
  void (*multiply)(const TwelveBitPanels& weights, const std::uint16_t* x, std::int64_t n_rows, std::int64_t panel,
                   float* sums, std::int64_t stride);
  /// Writes n <= 4 vectors of a panel's columns as bfloat16 in pairs of inputs: vector v's of pair p to
  /// out[v] + p * step.
  void (*decode)(const TwelveBitPanels& weights, std::int64_t panel, std::int64_t n, std::uint16_t* const* out,
                 std::int64_t step);
};

/// Compiled for AVX-512 BF16; null where the compiler does not have it. To be called on such processors only.
const TwelveBitKernels* avx512bf16_twelve_bit_kernels();

}  // namespace kvpress
