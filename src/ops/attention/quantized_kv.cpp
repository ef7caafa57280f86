#include "kvpress/ops/attention/quantized_kv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kvpress/base/dtype.h"
#include "kvpress/base/memory.h"

namespace kvpress {
namespace {

/// float16 at or below x, and at or above x; finite.
f16 rounded_down(float x) {
  f16 half = from_float<f16>(std::clamp(x, -65504.0f, 65504.0f));
  if (to_float(half) > x)
    half.bits =
        half.bits == 0 ? 0x8001 : static_cast<std::uint16_t>((half.bits & 0x8000) != 0 ? half.bits + 1 : half.bits - 1);
  return (half.bits & 0x7fff) > 0x7bff ? f16{0xfbff} : half;
}
f16 rounded_up(float x) {  // x >= 0
  f16 half = from_float<f16>(std::min(x, 65504.0f));
  if (to_float(half) < x && half.bits < 0x7bff) ++half.bits;
  return half;
}

/// A block's parts.
template <typename Byte>
struct Block {
  Byte* scales;
  Byte* least;
  Byte* codes;
  Block(Byte* block, std::int64_t n_lines) : scales(block), least(block + 2 * n_lines), codes(block + 4 * n_lines) {}
};

f16 half_at(const std::byte* halves, std::int64_t i) {
  f16 half;
  std::memcpy(&half, halves + 2 * i, sizeof(half));
  return half;
}

void quantize_line(const float* line, std::int64_t i, int bits, const Block<std::byte>& to) {
  const auto [low, high] = std::minmax_element(line, line + kKVGroup);
  const auto most = static_cast<float>((1 << bits) - 1);
  const f16 least = rounded_down(*low);
  const f16 scale = rounded_up((*high - to_float(least)) / most);
  std::memcpy(to.scales + 2 * i, &scale, sizeof(scale));
  std::memcpy(to.least + 2 * i, &least, sizeof(least));
  const float inverse = scale.bits == 0 ? 0.0f : 1.0f / to_float(scale);
  std::uint8_t codes[kKVGroup];
  for (std::int64_t j = 0; j < kKVGroup; ++j) {
    // Written so that what is no number becomes 0.
    const float code = (line[j] - to_float(least)) * inverse + 0.5f;
    codes[j] = static_cast<std::uint8_t>(std::min(std::max(0.0f, code), most));
  }
  std::byte* at = to.codes + i * kKVGroup * bits / 8;
  if (bits == 8) {
    std::memcpy(at, codes, kKVGroup);
  } else {
    for (std::int64_t j = 0; j < kKVGroup / 2; ++j)
      at[j] = static_cast<std::byte>(codes[j] | codes[j + kKVGroup / 2] << 4);
  }
}

void decode_line(const std::byte* block, std::int64_t n_lines, int bits, std::int64_t i, float* line) {
  const Block<const std::byte> from(block, n_lines);
  const float scale = to_float(half_at(from.scales, i));
  const float least = to_float(half_at(from.least, i));
  const auto* codes = reinterpret_cast<const std::uint8_t*>(from.codes + i * kKVGroup * bits / 8);
  if (bits == 8) {
    for (std::int64_t j = 0; j < kKVGroup; ++j) line[j] = least + scale * static_cast<float>(codes[j]);
  } else {
    for (std::int64_t j = 0; j < kKVGroup / 2; ++j) {
      line[j] = least + scale * static_cast<float>(codes[j] & 15);
      line[j + kKVGroup / 2] = least + scale * static_cast<float>(codes[j] >> 4);
    }
  }
}

}  // namespace

void quantize_keys(const float* keys, std::int64_t head_dim, int bits, std::byte* block) {
  const Block<std::byte> to(block, head_dim);
  float line[kKVGroup];
  for (std::int64_t c = 0; c < head_dim; ++c) {
    for (std::int64_t t = 0; t < kKVGroup; ++t) line[t] = keys[t * head_dim + c];
    quantize_line(line, c, bits, to);
  }
}

void quantize_value(const float* value, std::int64_t head_dim, int bits, std::int64_t token, std::byte* block) {
  const Block<std::byte> to(block, value_lines(head_dim));
  for (std::int64_t c = 0; c < head_dim; c += kKVGroup) {
    // Channels there are none of repeat the last: the range is that of the others.
    float line[kKVGroup];
    for (std::int64_t i = 0; i < kKVGroup; ++i) line[i] = value[std::min(c + i, head_dim - 1)];
    quantize_line(line, c + token, bits, to);
  }
}

void quantize_values(const float* values, std::int64_t head_dim, int bits, std::byte* block) {
  for (std::int64_t t = 0; t < kKVGroup; ++t) quantize_value(values + t * head_dim, head_dim, bits, t, block);
}

void take_lines(const std::byte* block, std::int64_t n_lines, int bits, std::span<const std::int32_t> lines,
                std::byte* taken) {
  const Block<const std::byte> from(block, n_lines);
  const Block<std::byte> to(taken, static_cast<std::int64_t>(lines.size()));
  const std::int64_t line_bytes = kKVGroup * bits / 8;
  std::int64_t at = 0;
  for (const std::int32_t line : lines) {
    std::memcpy(to.scales + 2 * at, from.scales + 2 * line, 2);
    std::memcpy(to.least + 2 * at, from.least + 2 * line, 2);
    std::memcpy(to.codes + at * line_bytes, from.codes + line * line_bytes, static_cast<std::size_t>(line_bytes));
    ++at;
  }
}

void decode_keys(const std::byte* block, std::int64_t head_dim, int bits, std::int64_t first, std::int64_t n,
                 float* keys) {
  float line[kKVGroup];
  for (std::int64_t c = 0; c < head_dim; ++c) {
    decode_line(block, head_dim, bits, c, line);
    for (std::int64_t t = 0; t < n; ++t) keys[t * head_dim + c] = line[first + t];
  }
}

void decode_values(const std::byte* block, std::int64_t head_dim, int bits, std::int64_t first, std::int64_t n,
                   float* values) {
  float line[kKVGroup];
  for (std::int64_t c = 0; c < head_dim; c += kKVGroup) {
    const std::int64_t width = std::min(kKVGroup, head_dim - c);
    for (std::int64_t t = 0; t < n; ++t) {
      decode_line(block, value_lines(head_dim), bits, c + first + t, line);
      std::memcpy(values + t * head_dim + c, line, static_cast<std::size_t>(width) * sizeof(float));
    }
  }
}

}  // namespace kvpress
