// Number formats of computation and cache. (formats/tensor_file.h has the formats that files store.)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kvpress {

enum class DType : std::uint8_t { f32, bf16, f16 };

constexpr std::size_t size_of(DType type) { return type == DType::f32 ? 4 : 2; }

/// "float32", "bfloat16", "float16": the names in options and reports.
std::string_view to_string(DType type);

/// The inverse; also accepts "f32", "bf16", "f16", "fp32", "fp16", "half". Throws UsageError naming `option`.
DType parse_dtype(std::string_view text, std::string_view option);

/// The bits of a bfloat16. from_float() rounds to nearest even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits = 0;
};

/// The bits of an IEEE half-precision number.
struct f16 {
  std::uint16_t bits = 0;
};

inline float to_float(float x) { return x; }

inline float to_float(bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

inline float to_float(f16 x) {
  // Shift the half's exponent and mantissa into place and let a float multiplication fix the exponent's bias: it
  // handles subnormals as well. Infinity and NaN need their exponent filled up.
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7fffu) << 13;
  float value = std::bit_cast<float>(magnitude) * std::bit_cast<float>(0x77800000u);  // * 2^112
  if ((x.bits & 0x7c00u) == 0x7c00u) value = std::bit_cast<float>(magnitude | 0x7f800000u);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
}

template <typename T>
T from_float(float x);

template <>
inline float from_float<float>(float x) {
  return x;
}

template <>
inline bf16 from_float<bf16>(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

template <>
inline f16 from_float<f16>(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // rounds to infinity
  if (magnitude < 0x38800000u) {
    // Subnormal half: adding 0.5 aligns the mantissa to the half's and rounds to nearest even on the way.
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000u))};
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

}  // namespace kvpress
