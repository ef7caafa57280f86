#include "kvpress/ops/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/attention/attend_tiles.h"
#include "ops/attention/attention_rows.h"
#include "ops/attention/kept_weights.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// Packed keys and values that are held at a time, in bytes: as many heads as fit, but one at least.
constexpr std::size_t kPackedBytes = std::size_t{16} << 20;

/// With few queries the cache is cut into stretches, which threads share and whose results are merged. A fixed length:
/// results must not depend on the number of threads.
constexpr std::int64_t kStretch = 4 * kKeyBlock;

/// The running softmax of a block of rows.
struct RowState {
  AlignedVector<float> row_max, row_sum, accumulated;

  AttentionRows start(const QueryRows& queries, const AttentionArgs& args, const AttentionPlan& plan) {
    const auto n = static_cast<std::size_t>(queries.n_rows());
    row_max.assign(n, kNoMax);
    row_sum.assign(n, 0.0f);
    accumulated.assign(n * static_cast<std::size_t>(padded_head_dim(args.head_dim)), 0.0f);
    return {queries.data(), queries.n_rows(),   args.head_dim, plan.factor,  row_max.data(),
            row_sum.data(), accumulated.data(), nullptr,       plan.soft_cap};
  }
};

/// Divides by the softmax's denominators and writes the results of a block to their places.
void finish(const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head, const QueryRows& queries,
            const AttentionRows& rows, const Activations& out) {
  const std::int64_t d = args.head_dim;
  const std::int64_t cols = padded_head_dim(d);
  for (std::int64_t r = 0; r < rows.n_rows; ++r) {
    float* row = rows.accumulated + r * cols;
    scale(row, d, 1.0f / rows.row_sum[r]);
    const std::int64_t head = kv_head * plan.group + queries.head(r);
    const std::int64_t at = queries.token(r) * args.n_heads + head;
    from_float(row, static_cast<std::byte*>(out.data) + static_cast<std::size_t>(at * d) * size_of(out.type), out.type,
               d);
    if (args.log_sum_exp != nullptr) {
      args.log_sum_exp[head * args.n_new + queries.token(r)] =
          rows.row_max[r] * std::numbers::ln2_v<float> + std::log(rows.row_sum[r]);
    }
  }
}

/// Many queries: keys and values are packed once for all blocks of queries.
void attend_blocks(const AttentionArgs& args, const AttentionPlan& plan, const Activations& out) {
  // The scratch lives on from layer to layer.
  thread_local AlignedVector<std::byte> packed;
  const std::size_t keys_bytes = packed_keys_bytes(args, plan);
  const std::size_t block_bytes = keys_bytes + packed_values_bytes(args, plan);
  struct KeyBlock {
    std::int64_t kv_head, first;
  };
  std::vector<KeyBlock> blocks;
  ColumnSums sums(args);
  for (std::int64_t first_head = 0; first_head < plan.n_kv_heads;) {
    blocks.clear();
    std::vector<std::size_t> starts;  // of each head's blocks
    std::int64_t end_head = first_head;
    for (; end_head < plan.n_kv_heads; ++end_head) {
      const std::int64_t n = args.kv[end_head].n;
      const auto more = static_cast<std::size_t>((n + kKeyBlock - 1) / kKeyBlock);
      if (end_head > first_head && (blocks.size() + more) * block_bytes > kPackedBytes) break;
      starts.push_back(blocks.size());
      for (std::int64_t first = 0; first < n; first += kKeyBlock) blocks.push_back({end_head, first});
    }
    packed.resize(blocks.size() * block_bytes);
    std::byte* const base = packed.data();
    parallel_for(static_cast<std::int64_t>(blocks.size()), [&](std::int64_t i) {
      const KeyBlock& block = blocks[i];
      const HeadKV& kv = args.kv[block.kv_head];
      std::byte* to = base + static_cast<std::size_t>(i) * block_bytes;
      pack_entries(args, plan, kv, block.first, std::min(kKeyBlock, kv.n - block.first), to, to + keys_bytes);
    });
    const std::int64_t n_heads = end_head - first_head;
    // The last blocks see the most keys: they go first, so that the threads end together.
    parallel_for(n_heads * plan.n_query_blocks, [&](std::int64_t item) {
      thread_local QueryRows queries;
      thread_local Sight sight;
      thread_local RowState state;
      thread_local KeptWeights kept;
      const std::int64_t kv_head = first_head + item % n_heads;
      const HeadKV& kv = args.kv[kv_head];
      queries.gather(args, plan, kv_head, plan.n_query_blocks - 1 - item / n_heads);
      AttentionRows rows = state.start(queries, args, plan);
      const std::int64_t n_keys = visible(args, kv.n, queries.last_token());
      const std::byte* at = base + starts[item % n_heads] * block_bytes;
      if (plan.keeps_weights) kept.start(rows.n_rows, n_keys);
      for (std::int64_t first = 0; first < n_keys; first += kKeyBlock, at += block_bytes) {
        queries.look(args, kv_head, first, std::min(kKeyBlock, kv.n - first), sight);
        rows.hidden = sight.hidden_from(0);
        if (plan.keeps_weights) {
          kept.attend(plan, rows, at, at + keys_bytes, sight.seen.data());
        } else {
          plan.kernels.attend(rows, at, at + keys_bytes, sight.seen.data());
        }
      }
      if (plan.keeps_weights) kept.add_to(sums, args, plan, kv_head, queries, rows);
      finish(args, plan, kv_head, queries, rows, out);
    });
    first_head = end_head;
  }
  sums.finish(args);
}

/// The few rows of a decoded token, on entries as they stand where there is a kernel for that.
class FewRows {
 public:
  FewRows(const AttentionArgs& args, const AttentionPlan& plan, const HeadKV& kv, const QueryRows& queries)
      : args_(args),
        plan_(plan),
        kv_(kv),
        rows_fit_(attends_few(queries.n_rows(), args.head_dim)),
        quantized_(kv.older.n > 0 && kv.older.n_thin == 0 && queries.n_rows() <= kAttendFewRows &&
                   args.head_dim <= kFewQuantizedHeadDim) {
    if (!quantized_) return;
    thread_local AlignedVector<float> converted;
    converted.resize(static_cast<std::size_t>(queries.n_rows() * args.head_dim));
    to_float(queries.data(), queries.type(), converted.data(), queries.n_rows() * args.head_dim);
    float_queries_ = converted.data();
  }

  /// Whether the rows could be taken past entries [first, first + n), all of them quantized or none.
  bool attend(AttentionRows rows, std::int64_t first, std::int64_t n, const std::int32_t* seen) const {
    if (quantized_ && first < kv_.older.n) {
      rows.queries = float_queries_;
      attend_few_quantized(rows, kv_.older, first, n, seen);
      return true;
    }
    const std::int64_t at = (first - kv_.older.n) * args_.head_dim;
    if (!rows_fit_ || at < 0 || kv_.n_thin > 0) return false;
    plan_.kernels.attend_few(rows, args_.kv_type, element(kv_.keys, args_.kv_type, at),
                             element(kv_.values, args_.kv_type, at), seen);
    return true;
  }

 private:
  const AttentionArgs& args_;
  const AttentionPlan& plan_;
  const HeadKV& kv_;
  bool rows_fit_;
  bool quantized_;
  const float* float_queries_ = nullptr;
};

/// One block of queries, as when decoding: each entry of the cache is read once.
void attend_stretches(const AttentionArgs& args, const AttentionPlan& plan, const Activations& out) {
  struct Stretch {
    std::int64_t kv_head, first;
  };
  thread_local std::vector<RowState> states;
  std::vector<Stretch> stretches;
  for (std::int64_t h = 0; h < plan.n_kv_heads; ++h) {
    for (std::int64_t first = 0; first < args.kv[h].n; first += kStretch) {
      stretches.push_back({h, first});
    }
  }
  if (states.size() < stretches.size()) states.resize(stretches.size());
  std::vector<AttentionRows> results(stretches.size());
  RowState* const state = states.data();
  const std::size_t keys_bytes = packed_keys_bytes(args, plan);
  const std::size_t block_bytes = keys_bytes + packed_values_bytes(args, plan);
  parallel_for(static_cast<std::int64_t>(stretches.size()), [&](std::int64_t i) {
    thread_local QueryRows queries;
    thread_local Sight sight;
    thread_local AlignedVector<std::byte> packed;
    const Stretch& stretch = stretches[i];
    const HeadKV& kv = args.kv[stretch.kv_head];
    queries.gather(args, plan, stretch.kv_head, 0);
    AttentionRows rows = state[i].start(queries, args, plan);
    const FewRows few(args, plan, kv, queries);
    const std::int64_t end = std::min(stretch.first + kStretch, kv.n);
    for (std::int64_t first = stretch.first; first < end;) {
      // No block holds both entries that are quantized and others.
      const std::int64_t n = std::min({kKeyBlock, end - first, first < kv.older.n ? kv.older.n - first : kKeyBlock});
      queries.look(args, stretch.kv_head, first, n, sight);
      rows.hidden = sight.hidden_from(0);
      const std::int32_t* seen = sight.seen.data();
      const bool anybody = std::any_of(seen, seen + rows.n_rows, [](std::int32_t it) { return it > 0; });
      if (anybody && !few.attend(rows, first, n, seen)) {
        packed.resize(block_bytes);
        pack_entries(args, plan, kv, first, n, packed.data(), packed.data() + keys_bytes);
        plan.kernels.attend(rows, packed.data(), packed.data() + keys_bytes, seen);
      }
      first += n;
    }
    results[i] = rows;
  });
  QueryRows queries;
  for (std::size_t i = 0; i < stretches.size();) {
    const AttentionRows rows = results[i];
    const std::int64_t kv_head = stretches[i].kv_head;
    for (++i; i < stretches.size() && stretches[i].kv_head == kv_head; ++i) merge_rows(rows, results[i]);
    queries.gather(args, plan, kv_head, 0);
    finish(args, plan, kv_head, queries, rows, out);
  }
}

}  // namespace

void attention(const AttentionArgs& args, const Activations& out) {
  if (args.n_new == 0) return;
  const AttentionPlan plan(args);
  const TileKernels* const tiles = tile_kernels_for(args);
  const bool in_stretches = tiles == nullptr && plan.n_query_blocks == 1;
  if (!args.column_sums.empty() && (in_stretches || tiles != nullptr)) {
    AttentionArgs without = args;
    without.column_sums = {};
    std::vector<float> log_sum_exp;
    if (args.log_sum_exp == nullptr) {
      log_sum_exp.resize(static_cast<std::size_t>(args.n_heads * args.n_new));
      without.log_sum_exp = log_sum_exp.data();
    }
    attention(without, out);
    attention_column_sums(without, args.column_sums);
  } else if (tiles != nullptr) {
    attend_tiles(*tiles, args, out);
  } else if (in_stretches) {
    attend_stretches(args, plan, out);
  } else {
    attend_blocks(args, plan, out);
  }
}

}  // namespace kvpress
