#include "kvpress/formats/quants.h"

#include <cstdint>
#include <cstring>

#include "kvpress/base/dtype.h"

namespace kvpress {
namespace {

float half_at(const std::byte* from) {
  f16 value;
  std::memcpy(&value, from, sizeof value);
  return to_float(value);
}

int byte_at(const std::byte* from, std::size_t i) { return std::to_integer<int>(from[i]); }

/// Byte i of 16 holds element i in its low half and element i + 16 in its high half; `high` holds each element's fifth
/// bit. Calls put(element, code).
template <typename Put>
void nibbles(const std::byte* packed, std::uint32_t high, Put put) {
  for (std::size_t i = 0; i < 16; ++i) {
    const int byte = byte_at(packed, i);
    put(i, (byte & 0xf) | static_cast<int>((high >> i) & 1u) << 4);
    put(i + 16, (byte >> 4) | static_cast<int>((high >> (i + 16)) & 1u) << 4);
  }
}

}  // namespace

std::size_t quant_block_bytes(StoredType type) {
  switch (type) {
    case StoredType::q4_0:
      return 18;
    case StoredType::q4_1:
      return 20;
    case StoredType::q5_0:
      return 22;
    case StoredType::q5_1:
      return 24;
    case StoredType::q8_0:
      return 34;
    default:
      return 0;
  }
}

void dequantize(StoredType type, const std::byte* block, std::span<float> out) {
  for (float* to = out.data(); to < out.data() + out.size(); to += kQuantBlock, block += quant_block_bytes(type)) {
    const float scale = half_at(block);
    std::uint32_t high = 0;
    switch (type) {
      case StoredType::q4_0:
        nibbles(block + 2, 0, [&](std::size_t i, int code) { to[i] = static_cast<float>(code - 8) * scale; });
        break;
      case StoredType::q4_1: {
        const float min = half_at(block + 2);
        nibbles(block + 4, 0, [&](std::size_t i, int code) { to[i] = static_cast<float>(code) * scale + min; });
        break;
      }
      case StoredType::q5_0:
        std::memcpy(&high, block + 2, sizeof high);
        nibbles(block + 6, high, [&](std::size_t i, int code) { to[i] = static_cast<float>(code - 16) * scale; });
        break;
      case StoredType::q5_1: {
        const float min = half_at(block + 2);
        std::memcpy(&high, block + 4, sizeof high);
        nibbles(block + 8, high, [&](std::size_t i, int code) { to[i] = static_cast<float>(code) * scale + min; });
        break;
      }
      case StoredType::q8_0:
        for (std::size_t i = 0; i < kQuantBlock; ++i) {
          to[i] = static_cast<float>(static_cast<std::int8_t>(byte_at(block + 2, i))) * scale;
        }
        break;
      default:
        return;
    }
  }
}

}  // namespace kvpress
