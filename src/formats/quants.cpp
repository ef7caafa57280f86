#include "formats/quants.h"

#include <array>
#include <cstring>

#include "kvpress/base/dtype.h"

namespace kvpress {
namespace {

float half_at(const std::byte* from) {
  f16 value;
  std::memcpy(&value, from, sizeof value);
  return to_float(value);
}

unsigned byte_at(const std::byte* from, std::size_t i = 0) { return std::to_integer<unsigned>(from[i]); }

std::uint32_t word_at(const std::byte* from) {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

std::uint8_t code_of(unsigned bits) { return static_cast<std::uint8_t>(bits); }

/// What a block is taken apart into; `mins` is null where the type has none.
struct Parts {
  std::uint8_t* codes;
  float* scales;
  float* mins;
};

/// Byte i of 16 holds element i in its low half and element i + 16 in its high half; `high` holds each element's fifth
/// bit.
void unpack_nibbles(const std::byte* packed, std::uint32_t high, std::uint8_t* codes) {
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned byte = byte_at(packed, i);
    codes[i] = code_of((byte & 0xf) | (high >> i & 1u) << 4);
    codes[i + 16] = code_of(byte >> 4 | (high >> (i + 16) & 1u) << 4);
  }
}

void unpack_block(StoredType type, const std::byte* block, const Parts& to) {
  to.scales[0] = half_at(block);
  switch (type) {
    case StoredType::q4_0:
      return unpack_nibbles(block + 2, 0, to.codes);
    case StoredType::q4_1:
      to.mins[0] = half_at(block + 2);
      return unpack_nibbles(block + 4, 0, to.codes);
    case StoredType::q5_0:
      return unpack_nibbles(block + 6, word_at(block + 2), to.codes);
    case StoredType::q5_1:
      to.mins[0] = half_at(block + 2);
      return unpack_nibbles(block + 8, word_at(block + 4), to.codes);
    default:  // Q8_0: signed bytes
      for (std::size_t i = 0; i < 32; ++i) to.codes[i] = code_of(byte_at(block, 2 + i) ^ 0x80u);
  }
}

/// Bits of `shift` upwards, two a byte, of 128 elements: those of 32 bytes, then again two bits further up.
unsigned two_bits(const std::byte* bytes, std::size_t i) {
  return byte_at(bytes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3u;
}

/// scales: 16 bytes, scale in the low half and minimum in the high; codes: 64 bytes; both scales' scales.
void unpack_q2_k(const std::byte* block, const Parts& to) {
  const std::byte* codes = block + 16;
  const float scale = half_at(block + 80);
  const float min_scale = half_at(block + 82);
  for (std::size_t i = 0; i < 256; ++i) to.codes[i] = code_of(two_bits(codes, i));
  for (std::size_t s = 0; s < 16; ++s) {
    const unsigned byte = byte_at(block, s);
    to.scales[s] = scale * static_cast<float>(byte & 0xf);
    to.mins[s] = -(min_scale * static_cast<float>(byte >> 4));
  }
}

/// Third bits: 32 bytes; codes: 64 bytes; 16 scales of 6 bits, the low 4 in 8 bytes, the high 2 in 4; their scale.
void unpack_q3_k(const std::byte* block, const Parts& to) {
  const std::byte* codes = block + 32;
  const std::byte* scales = block + 96;
  const float scale = half_at(block + 108);
  for (std::size_t i = 0; i < 256; ++i) {
    to.codes[i] = code_of(two_bits(codes, i) | (byte_at(block, i % 32) >> (i / 32) & 1u) << 2);
  }
  for (std::size_t s = 0; s < 16; ++s) {
    const unsigned low = s < 8 ? byte_at(scales, s) & 0xf : byte_at(scales, s - 8) >> 4;
    const unsigned high = byte_at(scales, 8 + s % 4) >> (s / 4 * 2) & 3u;
    to.scales[s] = scale * static_cast<float>(static_cast<int>(low | high << 4) - 32);
  }
}

/// 8 scales and 8 minima of 6 bits in 12 bytes, as Q4_K and Q5_K have them behind their two scales.
void unpack_scales_and_mins(const std::byte* block, const Parts& to) {
  const float scale = half_at(block);
  const float min_scale = half_at(block + 2);
  const std::byte* packed = block + 4;
  for (std::size_t s = 0; s < 8; ++s) {
    unsigned of_scale = byte_at(packed, s) & 63;
    unsigned of_min = byte_at(packed, s + 4) & 63;
    if (s >= 4) {
      of_scale = (byte_at(packed, s + 4) & 0xf) | byte_at(packed, s - 4) >> 6 << 4;
      of_min = byte_at(packed, s + 4) >> 4 | byte_at(packed, s) >> 6 << 4;
    }
    to.scales[s] = scale * static_cast<float>(of_scale);
    to.mins[s] = -(min_scale * static_cast<float>(of_min));
  }
}

/// Half bytes of 64 elements: the low halves of 32 bytes, then their high halves.
unsigned half_byte(const std::byte* bytes, std::size_t i) {
  return byte_at(bytes, i / 64 * 32 + i % 32) >> (i % 64 / 32 * 4) & 0xfu;
}

void unpack_q4_k(const std::byte* block, const Parts& to) {
  unpack_scales_and_mins(block, to);
  for (std::size_t i = 0; i < 256; ++i) to.codes[i] = code_of(half_byte(block + 16, i));
}

void unpack_q5_k(const std::byte* block, const Parts& to) {
  unpack_scales_and_mins(block, to);
  for (std::size_t i = 0; i < 256; ++i) {
    to.codes[i] = code_of(half_byte(block + 48, i) | (byte_at(block + 16, i % 32) >> (i / 32) & 1u) << 4);
  }
}

/// Low halves of the codes: 128 bytes, for 128 elements the low halves of 64, then their high halves; upper two bits:
/// 64 bytes; 16 signed scales; their scale.
void unpack_q6_k(const std::byte* block, const Parts& to) {
  const std::byte* high = block + 128;
  const std::byte* scales = block + 192;
  const float scale = half_at(block + 208);
  for (std::size_t i = 0; i < 256; ++i) {
    const unsigned low = byte_at(block, i / 128 * 64 + i % 64) >> (i % 128 / 64 * 4) & 0xfu;
    to.codes[i] = code_of(low | two_bits(high, i) << 4);
  }
  for (std::size_t s = 0; s < 16; ++s) {
    to.scales[s] = scale * static_cast<float>(static_cast<std::int8_t>(byte_at(scales, s)));
  }
}

void unpack(StoredType type, const std::byte* block, const Parts& to) {
  switch (type) {
    case StoredType::q2_k:
      return unpack_q2_k(block, to);
    case StoredType::q3_k:
      return unpack_q3_k(block, to);
    case StoredType::q4_k:
      return unpack_q4_k(block, to);
    case StoredType::q5_k:
      return unpack_q5_k(block, to);
    case StoredType::q6_k:
      return unpack_q6_k(block, to);
    default:
      return unpack_block(type, block, to);
  }
}

}  // namespace

QuantLayout quant_layout(StoredType type) {
  switch (type) {
    case StoredType::q4_0:
      return {32, 18, 32, 4, 8, false};
    case StoredType::q4_1:
      return {32, 20, 32, 4, 0, true};
    case StoredType::q5_0:
      return {32, 22, 32, 5, 16, false};
    case StoredType::q5_1:
      return {32, 24, 32, 5, 0, true};
    case StoredType::q8_0:
      return {32, 34, 32, 8, 128, false};
    case StoredType::q2_k:
      return {256, 84, 16, 2, 0, true};
    case StoredType::q3_k:
      return {256, 110, 16, 3, 4, false};
    case StoredType::q4_k:
      return {256, 144, 32, 4, 0, true};
    case StoredType::q5_k:
      return {256, 176, 32, 5, 0, true};
    case StoredType::q6_k:
      return {256, 210, 16, 6, 32, false};
    default:
      return {};
  }
}

void unpack_quants(StoredType type, const std::byte* blocks, std::span<std::uint8_t> codes, std::span<float> scales,
                   std::span<float> mins) {
  const QuantLayout layout = quant_layout(type);
  if (layout.block == 0) return;
  for (std::size_t i = 0; i < codes.size(); i += layout.block, blocks += layout.bytes) {
    const std::size_t scale = i / layout.scale_elements;
    unpack(type, blocks, {&codes[i], &scales[scale], layout.has_min ? &mins[scale] : nullptr});
  }
}

void dequantize(StoredType type, const std::byte* blocks, std::span<float> out) {
  const QuantLayout layout = quant_layout(type);
  if (layout.block == 0) return;
  std::array<std::uint8_t, 256> codes;
  std::array<float, 16> scales;
  std::array<float, 16> mins{};
  for (std::size_t i = 0; i < out.size(); i += layout.block, blocks += layout.bytes) {
    unpack(type, blocks, {codes.data(), scales.data(), layout.has_min ? mins.data() : nullptr});
    for (std::size_t s = 0; s < layout.block / layout.scale_elements; ++s) {
      const float scale = scales[s];
      const float min = mins[s];
      const std::uint8_t* code = &codes[s * layout.scale_elements];
      float* to = &out[i + s * layout.scale_elements];
      for (std::size_t e = 0; e < layout.scale_elements; ++e) {
        const auto value = static_cast<float>(static_cast<int>(code[e]) - layout.zero) * scale;
        to[e] = layout.has_min ? value + min : value;  // 0 + 0 would lose the sign of -0
      }
    }
  }
}

}  // namespace kvpress
