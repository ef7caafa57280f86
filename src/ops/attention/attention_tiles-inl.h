// Attention on tiles, for files that have included a class Tiles. Scores come turned, S^T = K Q^T, so that the keys are
// read as they stand in the cache and the softmax has a query in each lane: it sums without reducing any vector.
//
// There is no pass for largest scores. Exponents are relative to a reference of each row, which starts at 0. Only if a
// row's sum of weights leaves what float32 holds well is the true maximum searched, and the unit of keys done again.
#pragma once

#include "ops/attention/tile_softmax-inl.h"

namespace kvpress {
namespace {

constexpr i64 kPairs = kTileBlockRows / kTileRows;
constexpr i64 kUnitBlocks = kTileUnit / kTileKeys;
/// Blocks of 32 keys between which scores and softmax take turns: their 16 KiB stay in the first-level cache.
constexpr i64 kScoreBlocks = 2;

/// Where a row's sum of weights must be for its reference to stay as it is.
constexpr float kLeastSum = 0x1p-20f;
constexpr float kLargestSum = 0x1p60f;

/// A thread's scratch.
struct Scratch {
  RowPair* pairs;  // [kPairs]
  float* scores;   // [kScoreBlocks][2 tiles of rows][32 keys][16 rows]
  u16* weights;    // [kUnitBlocks][2 tiles of rows][16 pairs of keys][16 rows][2]
  float* columns;  // [kTileUnit][16 rows]; takes the place of the weights
  u16* queries;    // [kPairs][32 channels][2 tiles of rows][16 pairs of channels][16 rows][2]
  float* results;  // [kPairs][16 channels][2 tiles of rows][16 channels][16 rows]

  static i64 query_halves(i64 head_dim) { return tiled_head_dim(head_dim) * kTileRows; }
  static i64 result_floats(i64 head_dim) { return tiled_head_dim(head_dim) * kTileRows; }
  static i64 bytes(i64 head_dim) {
    const i64 of_pair = static_cast<i64>(sizeof(RowPair)) + 2 * query_halves(head_dim) + 4 * result_floats(head_dim);
    return kPairs * of_pair + kScoreBlocks * kBlockNumbers * 4 + kUnitBlocks * kBlockNumbers * 2;
  }

  Scratch(std::byte* memory, i64 head_dim) {
    const auto take = [&](i64 n_bytes) {
      std::byte* const taken = memory;
      memory += n_bytes;
      return static_cast<void*>(taken);
    };
    pairs = static_cast<RowPair*>(take(kPairs * static_cast<i64>(sizeof(RowPair))));
    scores = static_cast<float*>(take(kScoreBlocks * kBlockNumbers * 4));
    weights = static_cast<u16*>(take(kUnitBlocks * kBlockNumbers * 2));
    columns = reinterpret_cast<float*>(weights);
    queries = static_cast<u16*>(take(kPairs * query_halves(head_dim) * 2));
    results = static_cast<float*>(take(kPairs * result_floats(head_dim) * 4));
  }
};

inline const u16* keys_at(const TileHead& head, i64 key, i64 head_dim) {
  return key < head.n_in_place ? head.keys + key * head_dim : head.last_keys;
}

/// Scores of two steps of channels: the queries stay in tiles past all blocks of keys.
void score_two_steps(Tiles& tiles, const TileRows& rows, const u16* queries, i64 key, i64 n_blocks, float* scores) {
  const i64 stride = 2 * rows.head_dim;
  tiles.load<4>(queries, 64);
  tiles.load<5>(queries + kTileHalves, 64);
  tiles.load<6>(queries + 2 * kTileHalves, 64);
  tiles.load<7>(queries + 3 * kTileHalves, 64);
  for (i64 block = 0; block < n_blocks; ++block, key += kTileKeys, scores += kBlockNumbers) {
    const u16* keys = keys_at(rows.head, key, rows.head_dim);
    const u16* later = keys + 16 * rows.head_dim;
    float* const second_rows = scores + 2 * kTileFloats;
    tiles.load<2>(keys, stride);
    tiles.zero<0>();
    tiles.multiply<0, 2, 4>();
    tiles.zero<1>();
    tiles.multiply<1, 2, 5>();
    tiles.load<3>(keys + 32, stride);
    tiles.multiply<0, 3, 6>();
    tiles.load<2>(later, stride);
    tiles.multiply<1, 3, 7>();
    tiles.load<3>(later + 32, stride);
    tiles.store<0>(scores, 64);
    tiles.zero<0>();
    tiles.multiply<0, 2, 4>();
    tiles.store<1>(second_rows, 64);
    tiles.zero<1>();
    tiles.multiply<1, 2, 5>();
    tiles.multiply<0, 3, 6>();
    tiles.multiply<1, 3, 7>();
    tiles.store<0>(scores + kTileFloats, 64);
    tiles.store<1>(second_rows + kTileFloats, 64);
  }
}

/// Tiles 0 to 3 accumulate where each step has an operand of its own.
inline void zero_sums(Tiles& tiles) {
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
}
inline void store_sums(Tiles& tiles, float* to) {
  tiles.store<0>(to, 64);
  tiles.store<1>(to + kTileFloats, 64);
  tiles.store<2>(to + 2 * kTileFloats, 64);
  tiles.store<3>(to + 3 * kTileFloats, 64);
}

/// Scores of any number of steps of 32 channels.
void score_steps(Tiles& tiles, const TileRows& rows, const u16* queries, i64 key, i64 n_blocks, float* scores) {
  const i64 stride = 2 * rows.head_dim;
  for (i64 block = 0; block < n_blocks; ++block, key += kTileKeys, scores += kBlockNumbers) {
    const u16* keys = keys_at(rows.head, key, rows.head_dim);
    const u16* at = queries;
    zero_sums(tiles);
    for (i64 c = 0; c < rows.head_dim; c += 32, at += 2 * kTileHalves) {
      tiles.load<4>(keys + c, stride);
      tiles.load<6>(at, 64);
      tiles.multiply<0, 4, 6>();
      tiles.load<5>(keys + 16 * rows.head_dim + c, stride);
      tiles.multiply<1, 5, 6>();
      tiles.load<7>(at + kTileHalves, 64);
      tiles.multiply<2, 4, 7>();
      tiles.multiply<3, 5, 7>();
    }
    store_sums(tiles, scores);
  }
}

void score(Tiles& tiles, const TileRows& rows, const u16* queries, i64 key, i64 n_blocks, float* scores) {
  if (tiled_head_dim(rows.head_dim) == 64) {
    score_two_steps(tiles, rows, queries, key, n_blocks, scores);
  } else {
    score_steps(tiles, rows, queries, key, n_blocks, scores);
  }
  if (rows.soft_cap > 0) cap_scores(scores, 1, n_blocks * kBlockNumbers, rows.soft_cap);
}

/// results += values^T weights^T past `n_blocks` blocks of keys.
void multiply_values(Tiles& tiles, const u16* values, i64 n_channels, const u16* weights, i64 n_blocks, bool accumulate,
                     float* results) {
  const i64 block_halves = n_channels * kTileKeys;
  for (i64 c = 0; c < n_channels; c += 32, values += 2 * kTileHalves, results += 4 * kTileFloats) {
    if (accumulate) {
      tiles.load<0>(results, 64);
      tiles.load<1>(results + kTileFloats, 64);
      tiles.load<2>(results + 2 * kTileFloats, 64);
      tiles.load<3>(results + 3 * kTileFloats, 64);
    } else {
      zero_sums(tiles);
    }
    for (i64 block = 0; block < n_blocks; ++block) {
      const u16* channels = values + block * block_halves;
      const u16* of_rows = weights + block * kBlockNumbers;
      tiles.load<4>(channels, 64);
      tiles.load<6>(of_rows, 64);
      tiles.multiply<0, 4, 6>();
      tiles.load<7>(of_rows + kTileHalves, 64);
      tiles.multiply<1, 4, 7>();
      tiles.load<5>(channels + kTileHalves, 64);
      tiles.multiply<2, 5, 6>();
      tiles.multiply<3, 5, 7>();
    }
    store_sums(tiles, results);
  }
}

/// The rows' way over one head.
class Pass {
 public:
  Pass(Tiles& tiles, const TileRows& rows)
      : tiles_(tiles),
        rows_(rows),
        n_channels_(tiled_head_dim(rows.head_dim)),
        n_pairs_((rows.n_rows + kTileRows - 1) / kTileRows),
        scratch_(rows.scratch, rows.head_dim) {
    for (i64 p = 0; p < n_pairs_; ++p) {
      for (int tile = 0; tile < 2; ++tile) gather(p, tile);
    }
  }

  void attend() {
    const i64 end = rows_.seen[rows_.n_rows - 1];
    for (i64 unit = rows_.hidden[0] / kTileUnit * kTileUnit; unit < end; unit += kTileUnit) {
      for (i64 p = 0; p < n_pairs_; ++p) attend(p, unit);
    }
  }

  /// Adds to the columns of entries from `origin` on.
  void reduce_columns(const float* shifts, bool maxima, i64 origin, float* columns) {
    for (i64 r = 0; r < n_pairs_ * kTileRows; ++r) {
      const i64 row = r < rows_.n_rows ? r : rows_.n_rows - 1;
      scratch_.pairs[r / kTileRows].shift[r % kTileRows / kLanes][r % kLanes] = -shifts[row];
    }
    hide_lanes_behind_the_last();
    const i64 end = rows_.seen[rows_.n_rows - 1];
    for (i64 unit = rows_.hidden[0] / kTileUnit * kTileUnit; unit < end; unit += kTileUnit) {
      reduce_unit(unit, end, maxima ? Reduction::max : Reduction::sum, columns + unit - origin);
    }
  }

  void finish() const {
    for (i64 p = 0; p < n_pairs_; ++p) {
      for (int tile = 0; tile < 2; ++tile) write(p, tile);
    }
  }

 private:
  u16* queries(i64 p) const { return scratch_.queries + p * Scratch::query_halves(rows_.head_dim); }
  float* results(i64 p) const { return scratch_.results + p * Scratch::result_floats(rows_.head_dim); }

  /// The lanes behind the last row do as it does, and nobody looks at what comes out of them.
  void gather(i64 p, int tile) {
    RowPair& pair = scratch_.pairs[p];
    const float* queries_of[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const i64 lane = p * kTileRows + tile * kLanes + i;
      const i64 row = lane < rows_.n_rows ? lane : rows_.n_rows - 1;
      queries_of[i] = rows_.queries[row];
      pair.hidden[tile][i] = rows_.hidden[row];
      pair.seen[tile][i] = rows_.seen[row];
      pair.shift[tile][i] = pair.rounded_sum[tile][i] = pair.exact_sum[tile][i] = 0;
    }
    pair.started = false;
    pack_query_tiles(queries_of, rows_.head_dim, queries(p) + tile * kTileHalves, 2 * kTileHalves);
  }

  /// Takes a pair past what it sees of a unit of keys.
  void attend(i64 p, i64 unit) {
    RowPair& pair = scratch_.pairs[p];
    const auto [begin, n_blocks] = part(pair, unit);
    if (n_blocks == 0) return;
    if (!weigh_unit(p, begin, n_blocks, false)) {
      move_reference(p, begin, n_blocks);
      weigh_unit(p, begin, n_blocks, true);
    }
    if (rows_.out == nullptr) return;
    multiply_values(tiles_, rows_.head.values + begin * n_channels_, n_channels_, scratch_.weights, n_blocks,
                    pair.started, results(p));
    pair.started = true;
  }

  /// Where a pair's way through a unit begins, and how many blocks of keys it takes.
  struct Part {
    i64 begin, n_blocks;
  };
  Part part(const RowPair& pair, i64 unit) const {
    const i64 first = pair.first() / kTileKeys * kTileKeys;
    const i64 begin = first > unit ? first : unit;
    const i64 end = pair.end() < unit + kTileUnit ? pair.end() : unit + kTileUnit;
    return {begin, begin >= end ? 0 : (end - begin + kTileKeys - 1) / kTileKeys};
  }

  /// They must not count in columns: shifted so far down that they weigh nothing.
  void hide_lanes_behind_the_last() {
    for (i64 r = rows_.n_rows; r < n_pairs_ * kTileRows; ++r) {
      scratch_.pairs[n_pairs_ - 1].shift[r % kTileRows / kLanes][r % kLanes] = kNoMax;
    }
  }

  void reduce_unit(i64 unit, i64 end, Reduction reduction, float* to) {
    const __m512 start = _mm512_set1_ps(reduction == Reduction::max ? kNoMax : 0.0f);
    const i64 n_keys = end - unit < kTileUnit ? (end - unit + kTileKeys - 1) / kTileKeys * kTileKeys : kTileUnit;
    for (i64 i = 0; i < n_keys; ++i) _mm512_store_ps(scratch_.columns + i * kLanes, start);
    for (i64 p = 0; p < n_pairs_; ++p) {
      const Part at = part(scratch_.pairs[p], unit);
      for (i64 block = 0; block < at.n_blocks; block += kScoreBlocks) {
        const i64 n = at.n_blocks - block < kScoreBlocks ? at.n_blocks - block : kScoreBlocks;
        const i64 key = at.begin + block * kTileKeys;
        reduce_blocks(p, key, n, reduction, scratch_.columns + (key - unit) * kLanes);
      }
    }
    for (i64 i = 0; i < n_keys; i += kLanes) reduce_lanes(scratch_.columns + i * kLanes, reduction, to + i);
  }

  void reduce_blocks(i64 p, i64 key, i64 n_blocks, Reduction reduction, float* columns) {
    const RowPair& pair = scratch_.pairs[p];
    score(tiles_, rows_, queries(p), key, n_blocks, scratch_.scores);
    const bool all = pair.all_see(key, key + n_blocks * kTileKeys);
    const auto kernel = reduction == Reduction::sum
                            ? (all ? reduce<Reduction::sum, false> : reduce<Reduction::sum, true>)
                            : (all ? reduce<Reduction::max, false> : reduce<Reduction::max, true>);
    kernel(scratch_.scores, n_blocks, rows_.factor, pair, key, columns);
  }

  /// False where sums leave the range in which they are exact, unless they are to be taken as they come.
  bool weigh_unit(i64 p, i64 begin, i64 n_blocks, bool take_any) {
    RowPair& pair = scratch_.pairs[p];
    NewSums sums;
    for (i64 block = 0; block < n_blocks; block += kScoreBlocks) {
      const i64 n = n_blocks - block < kScoreBlocks ? n_blocks - block : kScoreBlocks;
      const i64 key = begin + block * kTileKeys;
      score(tiles_, rows_, queries(p), key, n, scratch_.scores);
      weigh_blocks(pair, key, n, scratch_.weights + block * kBlockNumbers, sums);
    }
    return add_sums(pair, sums, begin + n_blocks * kTileKeys, take_any);
  }

  /// Of blocks of which the first are seen by all rows, only the others are masked.
  void weigh_blocks(const RowPair& pair, i64 key, i64 n_blocks, u16* weights, NewSums& sums) const {
    i64 n_all = 0;
    while (n_all < n_blocks && pair.all_see(key + n_all * kTileKeys, key + (n_all + 1) * kTileKeys)) ++n_all;
    const bool exact = rows_.log_sum_exp != nullptr;
    const auto* next_keys =
        reinterpret_cast<const char*>(keys_at(rows_.head, key + n_blocks * kTileKeys, rows_.head_dim));
    if (n_all > 0) {
      (exact ? weigh<false, true> : weigh<false, false>)(scratch_.scores, n_all, rows_.factor, pair, key, weights, sums,
                                                         next_keys);
    }
    if (n_all == n_blocks) return;
    const i64 done = n_all * kBlockNumbers;
    (exact ? weigh<true, true> : weigh<true, false>)(scratch_.scores + done, n_blocks - n_all, rows_.factor, pair,
                                                     key + n_all * kTileKeys, weights + done, sums, next_keys);
  }

  static bool add_sums(RowPair& pair, const NewSums& sums, i64 end, bool take_any) {
    if (!take_any && !(stay_in_range(pair, sums, end, 0) && stay_in_range(pair, sums, end, 1))) return false;
    for (int tile = 0; tile < 2; ++tile) {
      add(sums.rounded_sum[tile], pair.rounded_sum[tile]);
      add(sums.exact_sum[tile], pair.exact_sum[tile]);
    }
    return true;
  }

  static void add(const float (&x)[kLanes], float (&sum)[kLanes]) {
    _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_load_ps(x)));
  }

  static bool stay_in_range(const RowPair& pair, const NewSums& sums, i64 end, int tile) {
    const __m512 total = _mm512_add_ps(_mm512_load_ps(pair.rounded_sum[tile]), _mm512_load_ps(sums.rounded_sum[tile]));
    const __mmask16 enough = _mm512_cmp_ps_mask(total, _mm512_set1_ps(kLeastSum), _CMP_GE_OQ);
    const __mmask16 good = _mm512_mask_cmp_ps_mask(enough, total, _mm512_set1_ps(kLargestSum), _CMP_LE_OQ);
    const __m512i hidden = _mm512_load_si512(pair.hidden[tile]), seen = _mm512_load_si512(pair.seen[tile]);
    const __m512i before_end = _mm512_min_epi32(seen, _mm512_set1_epi32(static_cast<int>(end)));
    const __mmask16 saw_none = _mm512_cmpge_epi32_mask(hidden, before_end);
    return static_cast<__mmask16>(good | saw_none) == 0xffff;
  }

  /// Makes each row's largest exponent so far its reference, rounded up to a whole number, so that what was accumulated
  /// is scaled exactly.
  void move_reference(i64 p, i64 begin, i64 n_blocks) {
    RowPair& pair = scratch_.pairs[p];
    __m512 max[2];
    for (int tile = 0; tile < 2; ++tile) {
      const __mmask16 none =
          _mm512_cmp_ps_mask(_mm512_load_ps(pair.rounded_sum[tile]), _mm512_setzero_ps(), _CMP_EQ_OQ);
      max[tile] = _mm512_mask_mov_ps(_mm512_setzero_ps(), none, _mm512_set1_ps(kNoMax));
    }
    for (i64 block = 0; block < n_blocks; ++block) {
      const i64 key = begin + block * kTileKeys;
      score(tiles_, rows_, queries(p), key, 1, scratch_.scores);
      for (int tile = 0; tile < 2; ++tile) max[tile] = largest_exponents(pair, tile, key, max[tile]);
    }
    for (int tile = 0; tile < 2; ++tile) move_reference(p, tile, max[tile]);
  }

  __m512 largest_exponents(const RowPair& pair, int tile, i64 key, __m512 max) const {
    const __m512i hidden = _mm512_load_si512(pair.hidden[tile]), seen = _mm512_load_si512(pair.seen[tile]);
    const __m512 by = _mm512_set1_ps(rows_.factor), shift = _mm512_load_ps(pair.shift[tile]);
    const float* scores = scratch_.scores + tile * kTileHalves;
    for (i64 i = 0; i < kTileKeys; ++i) {
      const __m512 exponent = _mm512_fmadd_ps(_mm512_load_ps(scores + i * kLanes), by, shift);
      max = _mm512_mask_max_ps(max, seeing(hidden, seen, key + i), max, exponent);
    }
    return max;
  }

  /// `by`: how far up; kNoMax for rows that have seen nothing yet.
  void move_reference(i64 p, int tile, __m512 by) {
    RowPair& pair = scratch_.pairs[p];
    const __mmask16 some = _mm512_cmp_ps_mask(by, _mm512_set1_ps(kNoMax), _CMP_NEQ_UQ);
    by = _mm512_maskz_roundscale_ps(some, by, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    _mm512_store_ps(pair.shift[tile], _mm512_sub_ps(_mm512_load_ps(pair.shift[tile]), by));
    // Rows without weights so far have nothing to be scaled, and may move down by more than a factor can hold.
    const __mmask16 none = _mm512_cmp_ps_mask(_mm512_load_ps(pair.rounded_sum[tile]), _mm512_setzero_ps(), _CMP_EQ_OQ);
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 factor = _mm512_mask_mov_ps(_mm512_scalef_ps(one, _mm512_sub_ps(_mm512_setzero_ps(), by)), none, one);
    multiply(pair.rounded_sum[tile], factor);
    multiply(pair.exact_sum[tile], factor);
    if (!pair.started) return;
    for (i64 c = 0; c < n_channels_; ++c) {
      float* at = results(p) + c / kLanes * 2 * kTileFloats + tile * kTileFloats + c % kLanes * kLanes;
      multiply(at, factor);
    }
  }

  static void multiply(float* x, __m512 factor) { _mm512_store_ps(x, _mm512_mul_ps(factor, _mm512_load_ps(x))); }

  void write(i64 p, int tile) const {
    const i64 row = p * kTileRows + tile * kLanes;
    const i64 n = rows_.n_rows - row < kLanes ? rows_.n_rows - row : kLanes;
    if (n <= 0) return;
    const RowPair& pair = scratch_.pairs[p];
    const __m512 factor = _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_load_ps(pair.rounded_sum[tile]));
    for (i64 c = 0; c < (rows_.out == nullptr ? 0 : rows_.head_dim); c += 32) {
      write_channels(results(p) + c / kLanes * 2 * kTileFloats + tile * kTileFloats, 2 * kTileFloats, factor,
                     rows_.out + row, n, c, rows_.head_dim, rows_.out_is_bf16);
    }
    if (rows_.log_sum_exp == nullptr) return;
    for (i64 i = 0; i < n; ++i) {
      constexpr float kLn2 = 0.693147180559945f;
      *rows_.log_sum_exp[row + i] = __builtin_logf(pair.exact_sum[tile][i]) - pair.shift[tile][i] * kLn2;
    }
  }

  Tiles& tiles_;
  const TileRows& rows_;
  i64 n_channels_;
  i64 n_pairs_;
  Scratch scratch_;
};

void attend_rows(const TileRows& rows) {
  const FlushDenormals flush;
  Tiles tiles;
  Pass pass(tiles, rows);
  pass.attend();
  pass.finish();
}

void reduce_columns(const TileRows& rows, const float* shifts, bool maxima, i64 origin, float* columns) {
  const FlushDenormals flush;
  Tiles tiles;
  Pass(tiles, rows).reduce_columns(shifts, maxima, origin, columns);
}

std::size_t scratch_bytes(i64 head_dim) { return static_cast<std::size_t>(Scratch::bytes(head_dim)); }

constexpr TileKernels kTileKernels{scratch_bytes, pack_tile_values, attend_rows, reduce_columns};

}  // namespace
}  // namespace kvpress
