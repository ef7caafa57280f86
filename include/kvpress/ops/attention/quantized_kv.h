// Keys and values in 8 or 4 bits, as KIVI keeps them (https://arxiv.org/abs/2402.02750): 32 numbers share a scale and a
// least value. Keys are taken together along tokens, channel by channel, since some channels are large in all tokens;
// values along channels, token by token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvpress {

struct AttentionRows;

/// Tokens of a group, and numbers of a line.
inline constexpr std::int64_t kKVGroup = 32;

/// A block is some lines of kKVGroup numbers: their scales and their least values, float16 each, then their codes.
/// number = least + code * scale. Of 4 bits, byte i of a line holds number i, and number 16 + i in its upper half.
constexpr std::size_t kv_block_bytes(std::int64_t n_lines, int bits) {
  return static_cast<std::size_t>(n_lines * (4 + kKVGroup * bits / 8));
}

/// Lines that the keys and the values of one group take.
constexpr std::int64_t value_lines_per_token(std::int64_t head_dim) { return (head_dim + kKVGroup - 1) / kKVGroup; }
constexpr std::int64_t value_lines(std::int64_t head_dim) { return kKVGroup * value_lines_per_token(head_dim); }

/// Groups of kKVGroup tokens of one KV head, oldest first. A group's keys are a block of a line per channel. Its values
/// are one of head_dim / 32 (rounded up) times 32 lines: all tokens for the first 32 channels, then for the next.
struct QuantizedKV {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  std::int64_t n = 0;                    ///< tokens: a multiple of kKVGroup
  int bits = 8;                          ///< 8 or 4
  const std::byte* thin_keys = nullptr;  ///< of the first n_thin tokens, of whose keys only some channels are stored
  std::int64_t n_thin = 0;               ///< a multiple of kKVGroup
};

/// The blocks of one group's keys [kKVGroup, head_dim], and of its values. No number comes out further from itself than
/// half a scale, which is the line's range / (2^bits - 1), but for float16's rounding of both.
void quantize_keys(const float* keys, std::int64_t head_dim, int bits, std::byte* block);
void quantize_values(const float* values, std::int64_t head_dim, int bits, std::byte* block);
/// The value of one token, anew: others keep theirs.
void quantize_value(const float* value, std::int64_t head_dim, int bits, std::int64_t token, std::byte* block);

/// The block of some of a block's lines, such as the channels that stay of a group's keys.
void take_lines(const std::byte* block, std::int64_t n_lines, int bits, std::span<const std::int32_t> lines,
                std::byte* taken);

/// Tokens [first, first + n) of a group, [n, head_dim].
void decode_keys(const std::byte* block, std::int64_t head_dim, int bits, std::int64_t first, std::int64_t n,
                 float* keys);
void decode_values(const std::byte* block, std::int64_t head_dim, int bits, std::int64_t first, std::int64_t n,
                   float* values);

/// The most channels of a head that attend_few_quantized() takes.
inline constexpr std::int64_t kFewQuantizedHeadDim = 256;

/// Takes at most kAttendFewRows rows, whose queries are float32, past entries [first, first + n) of `kv`, none of them
/// thin; both are multiples of kKVGroup, n <= kKeyBlock. Row r sees the first seen[r] of them. Codes are multiplied as
/// they are: keys = least + code * scale, so a score is (query * scale) . codes + query . least.
void attend_few_quantized(const AttentionRows& rows, const QuantizedKV& kv, std::int64_t first, std::int64_t n,
                          const std::int32_t* seen);

}  // namespace kvpress
