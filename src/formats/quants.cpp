#include "formats/quants.h"

#include <algorithm>
#include <array>
#include <cmath>
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

/// What 4 bits stand for, plus 128.
using Numbers = std::array<std::uint8_t, 16>;
constexpr Numbers numbers(const std::array<int, 16>& values) {
  Numbers codes{};
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(values[i] + 128);
  return codes;
}
constexpr Numbers kNonLinear = numbers({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113});
/// Twice the numbers of 4-bit floats: a sign, two bits of exponent, one of mantissa.
constexpr Numbers kFloat4 = numbers({0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12});

void unpack_numbers(const std::byte* packed, const Numbers& numbers, std::uint8_t* codes) {
  unpack_nibbles(packed, 0, codes);
  for (std::size_t i = 0; i < 32; ++i) codes[i] = numbers[codes[i]];
}

/// The exponent of a power of two, then 32 elements.
void unpack_mxfp4(const std::byte* block, const Parts& to) {
  to.scales[0] = std::ldexp(1.0f, static_cast<int>(byte_at(block)) - 128);
  unpack_numbers(block + 1, kFloat4, to.codes);
}

void unpack_iq4_nl(const std::byte* block, const Parts& to) {
  to.scales[0] = half_at(block);
  unpack_numbers(block + 2, kNonLinear, to.codes);
}

/// The scale; 8 scales of 6 bits, the high 2 in 2 bytes, the low 4 in 4; codes: 16 bytes for each 32 elements.
void unpack_iq4_xs(const std::byte* block, const Parts& to) {
  const float scale = half_at(block);
  const unsigned high = byte_at(block, 2) | byte_at(block, 3) << 8;
  for (std::size_t s = 0; s < 8; ++s) {
    const unsigned low = byte_at(block, 4 + s / 2) >> (s % 2 * 4) & 0xfu;
    to.scales[s] = scale * static_cast<float>(static_cast<int>(low | (high >> (2 * s) & 3u) << 4) - 32);
    unpack_numbers(block + 8 + s * 16, kNonLinear, to.codes + s * 32);
  }
}

/// A scale in float32, bytes, and sums of them.
void unpack_q8_k(const std::byte* block, const Parts& to) {
  float scale = 0;
  std::memcpy(&scale, block, sizeof scale);
  std::fill_n(to.scales, 8, scale);
  for (std::size_t i = 0; i < 256; ++i) to.codes[i] = code_of(byte_at(block, 4 + i) ^ 0x80u);
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

/// Elements of three values, 2 bits each; their scale.
void unpack_tq2_0(const std::byte* block, const Parts& to) {
  std::fill_n(to.scales, 8, half_at(block + 64));
  for (std::size_t i = 0; i < 256; ++i) to.codes[i] = code_of(two_bits(block, i));
}

/// Elements of three values, five in a byte, which is their number in base 3 as a fraction of 256: times 3^k, its first
/// digit is that of the k-th. First 160 elements in 32 bytes, then 80 in 16, then 16 in 4; their scale.
void unpack_tq1_0(const std::byte* block, const Parts& to) {
  std::fill_n(to.scales, 8, half_at(block + 52));
  const auto digits = [&](std::size_t first_byte, std::size_t n_bytes, std::size_t per_byte, std::uint8_t* codes) {
    unsigned power = 1;
    for (std::size_t k = 0; k < per_byte; ++k, power *= 3) {
      for (std::size_t i = 0; i < n_bytes; ++i) {
        codes[k * n_bytes + i] = code_of((byte_at(block, first_byte + i) * power % 256 * 3) >> 8);
      }
    }
  };
  digits(0, 32, 5, to.codes);
  digits(32, 16, 5, to.codes + 160);
  digits(48, 4, 4, to.codes + 240);
}

void unpack(StoredType type, const std::byte* block, const Parts& to) {
  switch (type) {
    case StoredType::q8_k:
      return unpack_q8_k(block, to);
    case StoredType::iq4_nl:
      return unpack_iq4_nl(block, to);
    case StoredType::iq4_xs:
      return unpack_iq4_xs(block, to);
    case StoredType::tq1_0:
      return unpack_tq1_0(block, to);
    case StoredType::tq2_0:
      return unpack_tq2_0(block, to);
    case StoredType::mxfp4:
      return unpack_mxfp4(block, to);
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
    case StoredType::q8_k:
      return {256, 292, 32, 8, 128, false, true};
    case StoredType::iq4_nl:
      return {32, 18, 32, 8, 128, false};
    case StoredType::iq4_xs:
      return {256, 136, 32, 8, 128, false};
    case StoredType::tq1_0:
      return {256, 54, 32, 2, 1, false};
    case StoredType::tq2_0:
      return {256, 66, 32, 2, 1, false};
    case StoredType::mxfp4:
      return {32, 17, 32, 8, 128, false, true};
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
