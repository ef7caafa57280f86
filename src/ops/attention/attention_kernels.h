// The inner kernels of attention, one set a number format: they see packed blocks of keys and rows of queries, and know
// nothing of heads, caches or threads. This header includes no more than it must: a file compiled for newer processors
// includes it, and an inline function compiled there could end up in programs for older ones.
#pragma once

#include <cstdint>

namespace kvpress {

enum class DType : std::uint8_t;

/// Keys and values are packed, and scores held, for this many entries at a time: with head_dim 64 in bfloat16 a packed
/// block is 64 KiB, which stays in the second-level cache while the rows of a query block pass over it.
inline constexpr std::int64_t kKeyBlock = 256;
/// Packed blocks are filled up with zeros to a multiple of this.
inline constexpr std::int64_t kKeyTile = 64;
/// Rows whose scores are held at a time: 12 x 256 in float32 are 12 KiB of the first-level cache.
inline constexpr std::int64_t kRowGroup = 12;
/// Columns of packed values and of accumulated results, filled up with zeros to whole vectors.
[[maybe_unused]] static constexpr std::int64_t padded_head_dim(std::int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}

/// Rows of queries on their way over the blocks of keys that they see: an online softmax.
struct AttentionRows {
  const void* queries = nullptr;  ///< [n_rows, head_dim] in the kernels' element type
  std::int64_t n_rows = 0;
  std::int64_t head_dim = 0;
  float factor = 0;                      ///< scores times this are base-2 exponents; above 0
  float* row_max = nullptr;              ///< largest exponent so far; starts at kNoMax
  float* row_sum = nullptr;              ///< sum of 2^(exponent - row_max); starts at 0
  float* accumulated = nullptr;          ///< [n_rows, padded_head_dim]; starts at 0
  const std::int32_t* hidden = nullptr;  ///< row r does not see the first hidden[r] keys of the block; null: sees all
  float soft_cap = 0;                    ///< above 0: scores become soft_cap * tanh(score / soft_cap)
};

/// Rows that attend_few() takes at most.
inline constexpr std::int64_t kAttendFewRows = 6;

/// Where a row has seen nothing. Finite: the difference of two infinities is no number.
inline constexpr float kNoMax = -1e30f;

/// Scores of entries that rows do not see become so small that they weigh nothing. Rows are kKeyBlock apart.
[[maybe_unused]] static void hide_entries(float* scores, std::int64_t n_rows, const std::int32_t* hidden) {
  if (hidden == nullptr) return;
  for (std::int64_t r = 0; r < n_rows; ++r) {
    for (std::int64_t j = 0; j < hidden[r]; ++j) scores[r * kKeyBlock + j] = kNoMax;
  }
}

/// scores[r][j] = cap * tanh(scores[r][j] / cap), rows kKeyBlock apart; nothing for a cap of 0.
void cap_scores(float* scores, std::int64_t n_rows, std::int64_t n_keys, float cap);

/// How kernels read what they are given. Packed keys hold kKeyBlock * head_dim elements, packed values
/// kKeyBlock * padded_head_dim.
struct AttentionKernels {
  std::int64_t element_size;
  void (*pack_keys)(const void* keys, std::int64_t n, std::int64_t head_dim, void* packed);
  void (*pack_values)(const void* values, std::int64_t n, std::int64_t head_dim, void* packed);
  /// Takes the rows past one block; row r sees the first seen[r] of its keys.
  void (*attend)(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen);
  /// The same, and leaves the weights: weights[r][j] (rows kKeyBlock apart) = 2^(exponent - row_max[r]) by the row_max
  /// that it leaves, 0 where row r does not see j, for j up to the most that a row of the row group sees.
  void (*attend_and_keep)(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen,
                          float* weights);
  /// scores[r][j] (rows kKeyBlock apart) = queries[r] . keys[j], for j < n_keys rounded up to tiles; added to what is
  /// there with `accumulate`.
  void (*scores)(const void* queries, std::int64_t n_rows, std::int64_t head_dim, const void* keys, std::int64_t n_keys,
                 float* scores, bool accumulate);
  /// attend() for at most kAttendFewRows rows on keys and values as they stand in the cache, unpacked, of any `type`
  /// that the kernels are for. head_dim must be one that attends_few() takes.
  void (*attend_few)(const AttentionRows& rows, DType type, const void* keys, const void* values,
                     const std::int32_t* seen);
};

/// Whether attend_few() can be had for rows of this size.
[[maybe_unused]] static bool attends_few(std::int64_t n_rows, std::int64_t head_dim) {
  const bool known = head_dim == 32 || head_dim == 64 || head_dim == 96 || head_dim == 128 || head_dim == 256;
  return n_rows <= kAttendFewRows && known;
}

/// float32, by Highway, for any processor.
const AttentionKernels& float_attention_kernels();

/// bfloat16 on processors with AVX-512 BF16; null elsewhere. Even head_dim only.
const AttentionKernels* bf16_attention_kernels();

/// attend_few() of the float32 kernels, which takes a cache of any type.
void attend_few_float(const AttentionRows& rows, DType type, const void* keys, const void* values,
                      const std::int32_t* seen);

/// The scores of up to kRowGroup rows with one block of keys, taken into each row's running max and sum.
void add_row_sums(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, float* row_max,
                  float* row_sum);

/// sums[j] += sum over rows of 2^(factor * scores[r][j] - shift[r]), each row up to seen[r].
void add_columns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                 float* sums);

/// sums[j] += sum over the rows of a row group of weights[r][j] * 2^exponents[r], of weights as attend_and_keep()
/// leaves them.
void add_weighted_columns(const float* weights, std::int64_t n_rows, const std::int32_t* seen, const float* exponents,
                          float* sums);

/// maxima[j] = the largest of maxima[j] and the exponents factor * scores[r][j] - shift[r] of the rows that see j.
void max_columns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                 float* maxima);

/// row_max, row_sum and accumulated of one stretch of keys, merged into those of another, row by row.
void merge_rows(const AttentionRows& rows, const AttentionRows& other);

}  // namespace kvpress
