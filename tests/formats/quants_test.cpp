#include "formats/quants.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "formats/safetensors.h"
#include "kvpress/base/dtype.h"
#include "kvpress/formats/gguf.h"
#include "ops/product/quant_format.h"
#include "test_data.h"

namespace kvpress {
namespace {

/// A block by the format's description: scale 2.0 (0x4000 as a half), minimum -1.0 (0xbc00).
std::vector<std::byte> block(std::initializer_list<std::uint16_t> halves, std::uint32_t high, bool has_high,
                             std::size_t n_codes, std::uint8_t (*code)(std::size_t)) {
  std::vector<std::byte> bytes;
  for (const std::uint16_t half : halves) {
    bytes.push_back(static_cast<std::byte>(half & 0xff));
    bytes.push_back(static_cast<std::byte>(half >> 8));
  }
  for (int i = 0; has_high && i < 4; ++i) bytes.push_back(static_cast<std::byte>(high >> (8 * i)));
  for (std::size_t i = 0; i < n_codes; ++i) bytes.push_back(static_cast<std::byte>(code(i)));
  return bytes;
}

std::uint8_t nibbles(std::size_t i) { return static_cast<std::uint8_t>(i | (15 - i) << 4); }

std::array<float, 32> decode(StoredType type, const std::vector<std::byte>& bytes) {
  EXPECT_EQ(bytes.size(), quant_layout(type).bytes);
  std::array<float, 32> out{};
  dequantize(type, bytes.data(), out);
  return out;
}

TEST(Quants, Q4) {
  const auto q4_0 = decode(StoredType::q4_0, block({0x4000}, 0, false, 16, nibbles));
  const auto q4_1 = decode(StoredType::q4_1, block({0x4000, 0xbc00}, 0, false, 16, nibbles));
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(q4_0[i], 2.0f * (static_cast<float>(i) - 8));
    EXPECT_EQ(q4_0[i + 16], 2.0f * (static_cast<float>(15 - i) - 8));
    EXPECT_EQ(q4_1[i], 2.0f * static_cast<float>(i) - 1);
    EXPECT_EQ(q4_1[i + 16], 2.0f * static_cast<float>(15 - i) - 1);
  }
}

TEST(Quants, Q5) {
  const std::uint32_t high = 0x8001'0005u;  // elements 0, 2, 16 and 31 have their fifth bit
  const auto q5_0 = decode(StoredType::q5_0, block({0x4000}, high, true, 16, nibbles));
  const auto q5_1 = decode(StoredType::q5_1, block({0x4000, 0xbc00}, high, true, 16, nibbles));
  for (std::size_t i = 0; i < 32; ++i) {
    const float code = static_cast<float>(i < 16 ? i : 31 - i) + ((high >> i & 1u) != 0 ? 16.0f : 0.0f);
    EXPECT_EQ(q5_0[i], 2.0f * (code - 16)) << i;
    EXPECT_EQ(q5_1[i], 2.0f * code - 1) << i;
  }
}

TEST(Quants, Q8) {
  const auto q8_0 = decode(
      StoredType::q8_0, block({0x4000}, 0, false, 32, [](std::size_t i) { return static_cast<std::uint8_t>(i * 8); }));
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(q8_0[i], 2.0f * static_cast<std::int8_t>(i * 8)) << i;
}

/// Scales and codes by themselves are what dequantize() makes values of, and codes stay within their bits.
TEST(Quants, UnpackedPartsMakeTheValues) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  int n_types = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    const QuantLayout layout = quant_layout(tensor.type);
    if (layout.block == 0) continue;
    ++n_types;
    const auto n = static_cast<std::size_t>(tensor.n_elements());
    std::vector<std::uint8_t> codes(n);
    std::vector<float> scales(n / layout.scale_elements), mins(layout.has_min ? scales.size() : 0), values(n);
    unpack_quants(tensor.type, tensor.data.data(), codes, scales, mins);
    dequantize(tensor.type, tensor.data.data(), values);
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_LT(codes[i], 1 << layout.bits) << tensor.name;
      const std::size_t s = i / layout.scale_elements;
      const float value = static_cast<float>(codes[i] - layout.zero) * scales[s];
      EXPECT_EQ(values[i], layout.has_min ? value + mins[s] : value) << tensor.name << " " << i;
    }
  }
  EXPECT_EQ(n_types, 16);
}

/// What weights become when they are held in 8 and 4 bits is what the gguf package makes of them, to the rounding of
/// scales and minima to float16 that packing does.
TEST(Quants, RowsAreQuantizedAsTheGgufPackageDoes) {
  const auto file = open_safetensors(test::data_dir() / "formats/quantized.safetensors");
  std::vector<float> values(5 * 96);
  decode_to_f32(file->at("values"), 0, values);
  const auto half = [](float x) { return to_float(from_float<f16>(x)); };
  for (const auto& [name, format] : {std::pair{"Q8_0", kInt8Format}, {"Q4_1", kInt4Format}}) {
    std::vector<float> expected(5 * 96);
    decode_to_f32(file->at(name), 0, expected);
    for (std::size_t r = 0; r < 5; ++r) {
      std::array<std::uint8_t, 96> codes{};
      std::array<float, 3> scales{}, mins{};
      quantize_row(&values[r * 96], 96, format, {codes.data(), scales.data(), mins.data()});
      for (std::size_t i = 0; i < 96; ++i) {
        const float value = static_cast<float>(codes[i] - format.zero) * half(scales[i / 32]) + half(mins[i / 32]);
        EXPECT_FLOAT_EQ(value, expected[r * 96 + i]) << name << " row " << r << " element " << i;
      }
    }
  }
}

TEST(Quants, OnlyTheQTypesHaveBlocks) {
  for (const StoredType type : {StoredType::f32, StoredType::f16, StoredType::bf16, StoredType::other}) {
    EXPECT_EQ(quant_layout(type).block, 0u);
    EXPECT_EQ(quant_layout(type).bytes, 0u);
  }
}

}  // namespace
}  // namespace kvpress
