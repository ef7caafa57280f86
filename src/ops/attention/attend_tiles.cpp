#include "ops/attention/attend_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/attention/attention_rows.h"
#include "ops/attention/packed_heads.h"
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

std::int64_t group_size(const AttentionArgs& args) { return args.n_heads / static_cast<std::int64_t>(args.kv.size()); }

/// Row r of a KV head: token by token, and for each the heads of the group.
struct RowOf {
  std::int64_t token, head;

  RowOf(const AttentionArgs& args, std::int64_t kv_head, std::int64_t r)
      : token(r / group_size(args)), head(kv_head * group_size(args) + r % group_size(args)) {}
  /// Of its numbers among the queries and the results.
  std::int64_t place(const AttentionArgs& args) const { return (token * args.n_heads + head) * args.head_dim; }
  float* log_sum_exp(const AttentionArgs& args) const {
    return args.log_sum_exp == nullptr ? nullptr : args.log_sum_exp + head * args.n_new + token;
  }
};

void* element_of(const Activations& x, std::int64_t index) {
  return static_cast<std::byte*>(x.data) + static_cast<std::size_t>(index) * size_of(x.type);
}

/// A block of rows on its way over a head.
class RowBlock {
 public:
  RowBlock(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, std::int64_t n) : n_(n) {
    for (std::int64_t r = 0; r < n; ++r) {
      const RowOf row(args, kv_head, first + r);
      queries_[r] = args.queries + row.place(args);
      hidden_[r] = static_cast<std::int32_t>(first_visible(args, kv_head, row.token));
      seen_[r] = static_cast<std::int32_t>(visible(args, args.kv[kv_head].n, row.token));
    }
  }

  /// Results are to go to their places.
  void write_to(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, const Activations& out) {
    for (std::int64_t r = 0; r < n_; ++r) {
      const RowOf row(args, kv_head, first + r);
      out_[r] = element_of(out, row.place(args));
      log_sum_exp_[r] = row.log_sum_exp(args);
    }
    out_type_ = out.type;
    has_log_sum_exp_ = args.log_sum_exp != nullptr;
  }

  /// Results of entries [begin, end) alone are to go to `out` [n_rows, head_dim] and `log_sum_exp` [n_rows].
  void write_stretch_to(std::int64_t begin, std::int64_t end, std::int64_t head_dim, float* out, float* log_sum_exp) {
    for (std::int64_t r = 0; r < n_; ++r) {
      out_[r] = out + r * head_dim;
      log_sum_exp_[r] = log_sum_exp + r;
      seen_[r] = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen_[r], begin, end));
      hidden_[r] = std::min(static_cast<std::int32_t>(std::clamp<std::int64_t>(hidden_[r], begin, end)), seen_[r]);
    }
    out_type_ = DType::f32;
    has_log_sum_exp_ = true;
  }

  void attend(const TileKernels& kernels, const AttentionArgs& args, const TileHead& head) const {
    thread_local AlignedVector<std::byte> scratch;
    scratch.resize(kernels.scratch_bytes(args.head_dim));
    TileRows rows;
    rows.head = head;
    rows.head_dim = args.head_dim;
    rows.n_rows = n_;
    rows.queries = queries_;
    rows.hidden = hidden_;
    rows.seen = seen_;
    rows.factor = args.scale * std::numbers::log2e_v<float>;
    rows.soft_cap = args.soft_cap / args.scale;
    rows.out = out_;
    rows.out_is_bf16 = out_type_ == DType::bf16;
    rows.log_sum_exp = has_log_sum_exp_ ? log_sum_exp_ : nullptr;
    rows.scratch = scratch.data();
    kernels.attend(rows);
  }

 private:
  std::int64_t n_;
  const float* queries_[kTileBlockRows];
  std::int32_t hidden_[kTileBlockRows], seen_[kTileBlockRows];
  void* out_[kTileBlockRows];
  float* log_sum_exp_[kTileBlockRows];
  DType out_type_ = DType::f32;
  bool has_log_sum_exp_ = false;
};

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
  const std::int64_t n_rows = args.n_new * group_size(args);
  const std::int64_t together = rows_together(packed.n_heads(), n_rows);
  const std::int64_t n_blocks = (n_rows + together - 1) / together;
  parallel_for(packed.n_heads() * n_blocks, [&](std::int64_t item) {
    const std::int64_t head = item / n_blocks;
    const std::int64_t first = (n_blocks - 1 - item % n_blocks) * together;
    RowBlock block(args, first_head + head, first, std::min(together, n_rows - first));
    block.write_to(args, first_head + head, first, out);
    block.attend(kernels, args, packed.head(head));
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
  const std::int64_t n_rows = args.n_new * group_size(args);
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
    block.write_stretch_to(begin, end, d, results.data() + item * n_rows * d, log_sums.data() + item * n_rows);
    block.attend(kernels, args, packed.head(head));
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
  return fits && args.n_new * group_size(args) >= kFewestRows ? tile_kernels() : nullptr;
}

void attend_tiles(const TileKernels& kernels, const AttentionArgs& args, const Activations& out) {
  // The scratch lives on from layer to layer.
  thread_local AlignedVector<Half> memory;
  const auto n_kv_heads = static_cast<std::int64_t>(args.kv.size());
  const bool few = args.n_new * group_size(args) <= kTileBlockRows && longest_head(args) > kStretch;
  for (std::int64_t first_head = 0; first_head < n_kv_heads;) {
    PackedHeads packed(kernels, args, first_head, memory);
    packed.pack();
    (few ? attend_stretches : attend_blocks)(kernels, args, packed, first_head, out);
    first_head += packed.n_heads();
  }
}

}  // namespace kvpress
