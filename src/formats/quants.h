// GGUF's quantized blocks. Of 32 elements: a scale (and a minimum) in float16 and 4, 5 or 8 bits an element. Of 256
// elements (the K types): a scale (and one for minima) in float16, a small whole number for each 16 or 32 elements that
// multiplies it, and 2 to 6 bits an element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// How a type's blocks read: an element is (code - zero) * scale + min.
struct QuantLayout {
  std::size_t block = 0;           ///< elements of a block; 0 for a type that has none
  std::size_t bytes = 0;           ///< of a block
  std::size_t scale_elements = 0;  ///< that share a scale, and a min: 16 or 32
  int bits = 0;                    ///< of a code
  int zero = 0;
  bool has_min = false;
};

/// All zero for types that are not quantized.
QuantLayout quant_layout(StoredType type);

/// Takes blocks apart: codes.size() / block of them. `scales` has one value for each scale_elements of the codes,
/// `mins` as many, or none where the type has none. Codes of Q8_0 are its bytes plus 128.
void unpack_quants(StoredType type, const std::byte* blocks, std::span<std::uint8_t> codes, std::span<float> scales,
                   std::span<float> mins);

/// Decodes out.size() / block blocks.
void dequantize(StoredType type, const std::byte* blocks, std::span<float> out);

}  // namespace kvpress
