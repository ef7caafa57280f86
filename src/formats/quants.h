// GGUF's quantized blocks. Blocks of 32 elements have a scale (and a minimum) in float16 and 4, 5 or 8 bits per
// element. Blocks of 256 elements (the K types) have a scale (and one for minima) in float16, a small integer factor
// for each 16 or 32 elements, and 2 to 6 bits per element. The 4 bits of IQ4_NL, IQ4_XS and MXFP4 stand for one of 16
// numbers that are not evenly spaced: their codes here are those numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// The layout of a type: an element is (code - zero) * scale + min.
struct QuantLayout {
  std::size_t block = 0;           ///< elements per block; 0 for types without blocks
  std::size_t bytes = 0;           ///< bytes per block
  std::size_t scale_elements = 0;  ///< elements that share a scale and a minimum: 16 or 32
  int bits = 0;                    ///< bits per code
  int zero = 0;
  bool has_min = false;
  bool wide_scales = false;  ///< scales that float16 need not hold
};

/// All fields are zero for types that are not quantized.
QuantLayout quant_layout(StoredType type);

/// Unpacks codes.size() / block blocks. `scales` gets one value per scale_elements codes; `mins` as many, or none if
/// the type has no minimum. Codes of Q8_0 and Q8_K are their bytes plus 128.
void unpack_quants(StoredType type, const std::byte* blocks, std::span<std::uint8_t> codes, std::span<float> scales,
                   std::span<float> mins);

/// Decodes out.size() / block blocks to float32.
void dequantize(StoredType type, const std::byte* blocks, std::span<float> out);

}  // namespace kvpress
