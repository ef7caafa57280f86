// Attention of many queries on tiles: the matrix registers of AMX, 16 rows of 64 bytes, which multiply bfloat16. This
// header includes no more than it must, as attention_kernels.h does: files compiled for newer processors include it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvpress {

/// Keys that one step takes: two tiles of scores.
inline constexpr std::int64_t kTileKeys = 32;
/// Query rows that one step takes: two tiles as well.
inline constexpr std::int64_t kTileRows = 32;
/// Query rows that pass over a head together, at most.
inline constexpr std::int64_t kTileBlockRows = 256;
/// Keys that rows pass before their weights are multiplied with the values.
inline constexpr std::int64_t kTileUnit = 256;

/// Channels of packed values: filled up with zeros to pairs of tiles.
[[maybe_unused]] static constexpr std::int64_t tiled_head_dim(std::int64_t head_dim) {
  return (head_dim + 31) / 32 * 32;
}

/// One KV head as tiles read it: keys in bfloat16 as they stand in the cache, row by row, and packed values.
struct TileHead {
  const std::uint16_t* keys = nullptr;       ///< of entries [0, n_in_place), a multiple of kTileKeys
  const std::uint16_t* last_keys = nullptr;  ///< of the kTileKeys entries from there on; zeros behind the last
  std::int64_t n_in_place = 0;
  const std::uint16_t* values = nullptr;  ///< [entry / 32][channel / 16][16 channels][32 entries], zeros where are none
};

/// At most kTileBlockRows rows of queries that pass over one head. Row r sees entries [hidden[r], seen[r]); neither
/// bound falls with r. Of a row that sees none, log_sum_exp comes out as -infinity and nothing else is defined.
struct TileRows {
  TileHead head;
  std::int64_t head_dim = 0;  ///< a multiple of 16
  std::int64_t n_rows = 0;
  const float* const* queries = nullptr;  ///< [n_rows], each head_dim numbers
  const std::int32_t* hidden = nullptr;
  const std::int32_t* seen = nullptr;
  float factor = 0;            ///< scores times this are base-2 exponents
  float soft_cap = 0;          ///< above 0: scores become soft_cap * tanh(score / soft_cap)
  void* const* out = nullptr;  ///< [n_rows], each head_dim numbers
  bool out_is_bf16 = false;
  float* const* log_sum_exp = nullptr;  ///< [n_rows], log of each row's denominator
  std::byte* scratch = nullptr;         ///< of scratch_bytes(), aligned to 64
};

struct TileKernels {
  std::size_t (*scratch_bytes)(std::int64_t head_dim);
  /// n entries, of which the last may be fewer than kTileKeys: whole blocks of packed values come out.
  void (*pack_values)(const std::uint16_t* values, std::int64_t n, std::int64_t head_dim, std::uint16_t* packed);
  /// Without `out`, log_sum_exp alone.
  void (*attend)(const TileRows& rows);
  /// columns[j], of entry origin + j, += the sum over the rows of 2^(exponent - shifts[r]), or becomes the largest of
  /// what is there and the exponents less shifts[r] with `maxima`. Whole blocks of kTileKeys are written to; `origin`
  /// is a multiple of kTileUnit.
  void (*reduce_columns)(const TileRows& rows, const float* shifts, bool maxima, std::int64_t origin, float* columns);
};

/// Null where the compiler was not told to use these instructions. The caller asks the processor whether it has them.
/// Both compute the same, bit by bit: the second has AVX-512 BF16 alone, and models tiles in software.
const TileKernels* amx_tile_kernels();
const TileKernels* software_tile_kernels();

/// Those that isa() allows, or null.
const TileKernels* tile_kernels();

}  // namespace kvpress
