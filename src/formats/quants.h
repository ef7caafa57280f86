// GGUF's quantized blocks of 32 elements: a scale (and a minimum) in float16 and 4, 5 or 8 bits an element.
#pragma once

#include <cstddef>
#include <span>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

inline constexpr std::size_t kQuantBlock = 32;

/// Bytes of one block; 0 for a type that has none.
std::size_t quant_block_bytes(StoredType type);

/// Decodes out.size() / 32 blocks.
void dequantize(StoredType type, const std::byte* blocks, std::span<float> out);

}  // namespace kvpress
