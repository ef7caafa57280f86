#include "ops/attention/attend_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/attention/attention_rows.h"
#include "ops/attention/packed_heads.h"
#include "ops/attention/tile_row_block.h"
#include "ops/isa.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using Half = std::uint16_t;

/// Fewer rows than these gain nothing that packing the values would not cost.
constexpr std::int64_t kFewestRows = 16;

/// Where few rows pass over long heads, these are cut into stretches, which threads share and whose results are merged.
/// A fixed length: results must not depend on the number of threads.
constexpr std::int64_t kStretch = 8 * kTileUnit;

/// Rows of a block: fewer where threads would have nothing to do. Pairs of tiles come out the same in any block.
std::int64_t rows_together(std::int64_t n_heads, std::int64_t n_rows) {
  std::int64_t rows = kTileBlockRows;
  while (rows > 2 * kTileRows && n_heads * ((n_rows + rows - 1) / rows) < 4 * threads()) rows /= 2;
  return rows;
}

/// Head by head, so that its keys and values stay in cache. The last rows see the most keys: they go first, so that the
/// threads end together.
void attend_blocks(const TileKernels& kernels, const AttentionArgs& args, const PackedHeads& packed,
                   std::int64_t first_head, const Activations& out) {
  const std::int64_t n_rows = rows_of_head(args);
  const std::int64_t together = rows_together(packed.n_heads(), n_rows);
  const std::int64_t n_blocks = (n_rows + together - 1) / together;
  parallel_for(packed.n_heads() * n_blocks, [&](std::int64_t item) {
    const std::int64_t head = item / n_blocks;
    const std::int64_t first = (n_blocks - 1 - item % n_blocks) * together;
    RowBlock block(args, first_head + head, first, std::min(together, n_rows - first));
    block.write_to(out);
    kernels.attend(block.rows(kernels, packed.head(head)));
  });
}

/// Adds up what stretches gave: each is a mean of values by weights whose sum it tells. Of a stretch in which a row saw
/// nothing that is 0.
void merge(const float* results, const float* log_sums, std::int64_t n_stretches, std::int64_t n_rows,
           std::int64_t head_dim, std::int64_t row, float* out, float* log_sum) {
  float max = -std::numeric_limits<float>::infinity();
  for (std::int64_t s = 0; s < n_stretches; ++s) max = std::max(max, log_sums[s * n_rows + row]);
  double sum = 0;
  for (std::int64_t s = 0; s < n_stretches; ++s) sum += std::exp(static_cast<double>(log_sums[s * n_rows + row] - max));
  std::fill_n(out, head_dim, 0.0f);
  for (std::int64_t s = 0; s < n_stretches; ++s) {
    const auto share = static_cast<float>(std::exp(static_cast<double>(log_sums[s * n_rows + row] - max)) / sum);
    if (share == 0) continue;
    const float* from = results + (s * n_rows + row) * head_dim;
    for (std::int64_t c = 0; c < head_dim; ++c) out[c] += share * from[c];
  }
  if (log_sum != nullptr) *log_sum = max + static_cast<float>(std::log(sum));
}

void attend_stretches(const TileKernels& kernels, const AttentionArgs& args, const PackedHeads& packed,
                      std::int64_t first_head, const Activations& out) {
  const std::int64_t n_rows = rows_of_head(args);
  const std::int64_t d = args.head_dim;
  const std::int64_t n_stretches = (longest_head(args) + kStretch - 1) / kStretch;
  const auto n_results = static_cast<std::size_t>(packed.n_heads() * n_stretches * n_rows);
  AlignedVector<float> results(n_results * static_cast<std::size_t>(d));
  std::vector<float> log_sums(n_results, -std::numeric_limits<float>::infinity());
  parallel_for(packed.n_heads() * n_stretches, [&](std::int64_t item) {
    const std::int64_t head = item / n_stretches;
    const std::int64_t begin = item % n_stretches * kStretch;
    const std::int64_t end = std::min(begin + kStretch, args.kv[first_head + head].n);
    if (begin >= end) return;
    RowBlock block(args, first_head + head, 0, n_rows);
    block.show(begin, end);
    block.write_to(results.data() + item * n_rows * d, log_sums.data() + item * n_rows);
    kernels.attend(block.rows(kernels, packed.head(head)));
  });
  parallel_for(packed.n_heads() * n_rows, [&](std::int64_t item) {
    thread_local AlignedVector<float> merged;
    merged.resize(static_cast<std::size_t>(d));
    const std::int64_t head = item / n_rows;
    const RowOf row(args, first_head + head, item % n_rows);
    merge(results.data() + head * n_stretches * n_rows * d, log_sums.data() + head * n_stretches * n_rows, n_stretches,
          n_rows, d, item % n_rows, merged.data(), row.log_sum_exp(args));
    from_float(merged.data(), element_of(out, row.place(args)), out.type, d);
  });
}

}  // namespace

const TileKernels* tile_kernels() {
  if (isa() == Isa::amx) return amx_tile_kernels();
  return isa() == Isa::amx_software ? software_tile_kernels() : nullptr;
}

const TileKernels* tile_kernels_for(const AttentionArgs& args) {
  const bool fits = args.kv_type == DType::bf16 && args.head_dim % 16 == 0;
  return fits && rows_of_head(args) >= kFewestRows ? tile_kernels() : nullptr;
}

void attend_tiles(const TileKernels& kernels, const AttentionArgs& args, const Activations& out) {
  // The scratch lives on from layer to layer.
  thread_local AlignedVector<Half> memory;
  const auto n_kv_heads = static_cast<std::int64_t>(args.kv.size());
  const bool few = rows_of_head(args) <= kTileBlockRows && longest_head(args) > kStretch;
  for (std::int64_t first_head = 0; first_head < n_kv_heads;) {
    PackedHeads packed(kernels, args, first_head, memory);
    packed.pack();
    (few ? attend_stretches : attend_blocks)(kernels, args, packed, first_head, out);
    first_head += packed.n_heads();
  }
}

}  // namespace kvpress
