// What the kernels for products with quantized weights see. This header includes no more than it must: a file compiled
// for newer processors includes it, and an inline function compiled there could end up in programs for older ones.
#pragma once

#include <cstdint>

namespace kvpress {

/// Inputs that are quantized together, and weights that lie together.
inline constexpr std::int64_t kQuantInputs = 32;

/// Weights [out, in] in 8 or 4 bits: weight = (code - zero) * scale + min, with a scale (and a min) in float16 for each
/// output and 16 or 32 inputs. They lie in panels of 16 outputs (kColumns); a panel is one block after another of 32
/// inputs, a block
///   codes  8 bits: [input / 4][column][4]; 4 bits: [input / 4 % 4][column][4], inputs below 16 in the low halves
///   scales [32 / scale_inputs][column]
///   mins   the same, if has_min
/// Inputs are filled up to whole blocks, and outputs to whole panels, with zeros.
struct QuantizedPanels {
  const void* data = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t n_blocks = 0;     ///< of a panel
  std::int64_t block_bytes = 0;  ///< a panel is n_blocks of these
  int bits = 8;
  int scale_inputs = 32;
  int zero = 0;
  bool has_min = false;
};

/// Rows of inputs in 8 bits: x = code * scale, with a scale for each block of 32.
struct QuantizedInputs {
  const std::int8_t* codes = nullptr;  ///< [rows][n_blocks * 32], -127 ... 127
  const float* scales = nullptr;       ///< [rows][n_blocks]
  const std::int32_t* sums = nullptr;  ///< [rows][n_blocks * 2]: of the codes of 16 inputs
};

/// sums[r * stride + c] = x[r] . W[16 * first + c] for r < n_rows <= kProductRows (few_rows_kernels.h) and n panels
/// from `first` on.
using QuantizedKernel = void (*)(const QuantizedPanels& weights, const QuantizedInputs& x, std::int64_t n_rows,
                                 std::int64_t first, std::int64_t n, float* sums, std::int64_t stride);

/// Compiled for AVX-512 VNNI, and for AVX2; null where the compiler does not have it. To be called on such processors
/// only.
QuantizedKernel avx512vnni_quantized_kernel();
QuantizedKernel avx2_quantized_kernel();

}  // namespace kvpress
