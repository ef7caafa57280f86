// What attention on tiles tells of entries: how much weight they get. And denominators without attention.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/attention/attend_tiles.h"
#include "ops/attention/attention_kernels.h"
#include "ops/attention/attention_rows.h"
#include "ops/attention/packed_heads.h"
#include "ops/attention/tile_row_block.h"

namespace kvpress {
namespace {

/// Entries that one thread takes past all rows of a head: enough that packing the queries anew costs little.
constexpr std::int64_t kColumns = 2 * kTileUnit;

/// Calls body(packed heads, the first of them) for some heads at a time.
template <typename Body>
void for_packed_heads(const TileKernels& kernels, const AttentionArgs& args, Body&& body) {
  thread_local AlignedVector<std::uint16_t> memory;
  for (std::int64_t first = 0; first < static_cast<std::int64_t>(args.kv.size());) {
    PackedHeads packed(kernels, args, first, memory, false);
    packed.pack();
    body(packed, first);
    first += packed.n_heads();
  }
}

/// What exponents of rows [first, first + n) are to be reduced by.
void take_shifts(const AttentionArgs& args, const float* row_factors, std::int64_t kv_head, std::int64_t first,
                 std::int64_t n, float* shifts) {
  for (std::int64_t r = 0; r < n; ++r) {
    const RowOf row(args, kv_head, first + r);
    shifts[r] = *row.log_sum_exp(args) * std::numbers::log2e_v<float>;
    if (row_factors != nullptr) shifts[r] -= std::log2(row_factors[row.token]);
  }
}

/// The columns of entries [begin, end) of one head, past all rows that see any of them.
void reduce_stretch(const TileKernels& kernels, const AttentionArgs& args, const float* row_factors, bool maxima,
                    std::int64_t kv_head, const TileHead& head, std::int64_t begin, std::int64_t end, float* columns) {
  const std::int64_t n_rows = rows_of_head(args);
  std::fill_n(columns, kColumns, maxima ? kNoMax : 0.0f);
  for (std::int64_t first = 0; first < n_rows; first += kTileBlockRows) {
    const std::int64_t n = std::min(kTileBlockRows, n_rows - first);
    if (visible(args, args.kv[kv_head].n, RowOf(args, kv_head, first + n - 1).token) <= begin) continue;
    RowBlock block(args, kv_head, first, n);
    block.show(begin, end);
    float shifts[kTileBlockRows];
    take_shifts(args, row_factors, kv_head, first, n, shifts);
    kernels.reduce_columns(block.rows(kernels, head), shifts, maxima, begin, columns);
  }
}

}  // namespace

void reduce_tile_columns(const TileKernels& kernels, const AttentionArgs& args, const float* row_factors, bool maxima,
                         const std::function<std::int64_t(std::int64_t)>& n_columns, const TakeColumns& take) {
  const std::int64_t n_stretches = (longest_head(args) + kColumns - 1) / kColumns;
  for_packed_heads(kernels, args, [&](const PackedHeads& packed, std::int64_t first_head) {
    // The first entries are seen by the most rows: they go first.
    parallel_for(packed.n_heads() * n_stretches, [&](std::int64_t item) {
      alignas(kAlignment) float columns[kColumns];
      const std::int64_t head = item % packed.n_heads();
      const std::int64_t begin = item / packed.n_heads() * kColumns;
      const std::int64_t end = std::min(begin + kColumns, n_columns(first_head + head));
      if (begin >= end) return;
      reduce_stretch(kernels, args, row_factors, maxima, first_head + head, packed.head(head), begin, end, columns);
      take(first_head + head, begin, end - begin, columns);
    });
  });
}

void tile_log_sum_exp(const TileKernels& kernels, const AttentionArgs& args) {
  const std::int64_t n_rows = rows_of_head(args);
  const std::int64_t n_blocks = (n_rows + kTileBlockRows - 1) / kTileBlockRows;
  for_packed_heads(kernels, args, [&](const PackedHeads& packed, std::int64_t first_head) {
    parallel_for(packed.n_heads() * n_blocks, [&](std::int64_t item) {
      const std::int64_t head = item / n_blocks;
      const std::int64_t first = (n_blocks - 1 - item % n_blocks) * kTileBlockRows;
      RowBlock block(args, first_head + head, first, std::min(kTileBlockRows, n_rows - first));
      block.write_log_sums();
      kernels.attend(block.rows(kernels, packed.head(head)));
    });
  });
}

}  // namespace kvpress
