#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attend_tiles.h"
#include "ops/attention/attention_rows.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// Keys that one thread takes past all queries: enough that gathering the queries anew costs little.
constexpr std::int64_t kColumnBlocks = 2;

/// Scores of a window of queries that are held at a time, in bytes: as many heads as fit, but one at least.
constexpr std::int64_t kScoreBytes = std::int64_t{32} << 20;

/// One query block of some KV heads over whole rows: scores, then each row's denominator, then columns.
class Window {
 public:
  Window(const AttentionArgs& args, const AttentionPlan& plan, std::span<const float> factors, std::int64_t first_head,
         std::int64_t n_heads, std::int64_t longest)
      : args_(args),
        plan_(plan),
        factors_(factors),
        first_head_(first_head),
        n_heads_(n_heads),
        n_key_blocks_((longest + kKeyBlock - 1) / kKeyBlock),
        queries_(static_cast<std::size_t>(n_heads)),
        shifts_(static_cast<std::size_t>(n_heads)) {}

  void add(std::int64_t query_block, std::span<float* const> weights) {
    for (std::int64_t h = 0; h < n_heads_; ++h) {
      QueryRows& queries = queries_[h];
      queries.gather(args_, plan_, first_head_ + h, query_block);
      queries.gather_rest(args_, plan_, first_head_ + h);
    }
    n_rows_ = queries_.front().n_rows();
    const auto items = static_cast<std::size_t>(n_heads_ * n_key_blocks_);
    scores_.resize(items * static_cast<std::size_t>(n_rows_ * kKeyBlock));
    row_max_.assign(items * static_cast<std::size_t>(n_rows_), kNoMax);
    row_sum_.assign(items * static_cast<std::size_t>(n_rows_), 0.0f);
    parallel_for(n_heads_ * n_key_blocks_, [&](std::int64_t item) { take_scores(item); });
    for (std::int64_t h = 0; h < n_heads_; ++h) take_shifts(h);
    parallel_for(n_heads_ * n_key_blocks_, [&](std::int64_t item) { take_columns(item, weights); });
  }

 private:
  const HeadKV& kv(std::int64_t head) const { return args_.kv[first_head_ + head]; }
  float* scores(std::int64_t item) { return scores_.data() + item * n_rows_ * kKeyBlock; }

  /// What the rows of a head see of a block, or null beyond the head's end.
  const Sight* look(std::int64_t item) const {
    thread_local Sight sight;
    const std::int64_t first = item / n_heads_ * kKeyBlock;
    const std::int64_t n = kv(item % n_heads_).n;
    if (first >= n) return nullptr;
    const QueryRows& queries = queries_[item % n_heads_];
    queries.look(args_, first_head_ + item % n_heads_, first, std::min(kKeyBlock, n - first), sight);
    return &sight;
  }

  void take_scores(std::int64_t item) {
    thread_local AlignedVector<std::byte> keys;
    const Sight* sight = look(item);
    if (sight == nullptr) return;
    const HeadKV& head = kv(item % n_heads_);
    const QueryRows& queries = queries_[item % n_heads_];
    const std::int64_t first = item / n_heads_ * kKeyBlock;
    const std::int64_t n = std::min(kKeyBlock, head.n - first);
    keys.resize(packed_keys_bytes(args_, plan_));
    pack_entries(args_, plan_, head, first, n, keys.data(), nullptr);
    const std::int64_t row_bytes = args_.head_dim * plan_.kernels.element_size;
    for_row_groups(n_rows_, [&](std::int64_t r, std::int64_t rows) {
      float* to = scores(item) + r * kKeyBlock;
      plan_.kernels.scores(queries.data() + r * row_bytes, rows, args_.head_dim, keys.data(), n, to, false);
      if (plan_.kernels.element_size == 2) {
        plan_.kernels.scores(queries.rest() + r * row_bytes, rows, args_.head_dim, keys.data(), n, to, true);
      }
      cap_scores(to, rows, n, plan_.soft_cap);
      hide_entries(to, rows, sight->hidden_from(r));
      add_row_sums(to, rows, sight->seen.data() + r, plan_.factor, row_max_.data() + item * n_rows_ + r,
                   row_sum_.data() + item * n_rows_ + r);
    });
  }

  /// Merges the blocks' maxima and sums: 2^(exponent - shift) is a weight, times its query's factor.
  void take_shifts(std::int64_t head) {
    std::vector<float>& shifts = shifts_[head];
    shifts.resize(static_cast<std::size_t>(n_rows_));
    for (std::int64_t r = 0; r < n_rows_; ++r) {
      const auto at = [&](std::int64_t block) {
        return static_cast<std::size_t>((block * n_heads_ + head) * n_rows_ + r);
      };
      float max = kNoMax;
      for (std::int64_t block = 0; block < n_key_blocks_; ++block) max = std::max(max, row_max_[at(block)]);
      double sum = 0;
      for (std::int64_t block = 0; block < n_key_blocks_; ++block) {
        sum += static_cast<double>(row_sum_[at(block)]) * std::exp2(static_cast<double>(row_max_[at(block)] - max));
      }
      const QueryRows& queries = queries_[head];
      if (!factors_.empty()) {
        sum /= factors_[(first_head_ + head) * args_.n_new + queries.token(r)];
      }
      shifts[r] = max + static_cast<float>(std::log2(sum));
    }
  }

  void take_columns(std::int64_t item, std::span<float* const> weights) {
    const Sight* sight = look(item);
    if (sight == nullptr) return;
    const std::int64_t head = item % n_heads_;
    const std::int64_t first = item / n_heads_ * kKeyBlock;
    alignas(kAlignment) float sums[kKeyBlock] = {};
    for_row_groups(n_rows_, [&](std::int64_t r, std::int64_t rows) {
      add_columns(scores(item) + r * kKeyBlock, rows, sight->seen.data() + r, plan_.factor, shifts_[head].data() + r,
                  sums);
    });
    const std::int64_t n = std::min(kKeyBlock, kv(head).n - first);
    scale(sums, n, 1.0f / static_cast<float>(args_.n_new * plan_.group));
    kvpress::add(sums, weights[first_head_ + head] + first, n);
  }

  const AttentionArgs& args_;
  const AttentionPlan& plan_;
  std::span<const float> factors_;
  std::int64_t first_head_;
  std::int64_t n_heads_;
  std::int64_t n_key_blocks_;
  std::int64_t n_rows_ = 0;
  std::vector<QueryRows> queries_;
  std::vector<std::vector<float>> shifts_;
  AlignedVector<float> scores_;             // [key block][head][row][kKeyBlock]
  AlignedVector<float> row_max_, row_sum_;  // [key block][head][row]
};

/// Takes each stretch of keys past all queries that see it, and reduces each key's column of weights: to sums, or to
/// the largest exponent. done(kv_head, first, n, values) is given the result. A stretch is one thread's alone, so that
/// it needs no locks and comes out the same every time. `n_columns`: how many of a head's keys are wanted.
enum class Reduction : std::uint8_t { sum, max };
template <Reduction kReduction, typename Wanted, typename Done>
void reduce_columns(const AttentionArgs& args, const AttentionPlan& plan, const float* row_factors, Wanted&& n_columns,
                    Done&& done) {
  constexpr std::int64_t kKeys = kColumnBlocks * kKeyBlock;
  constexpr float kStart = kReduction == Reduction::max ? kNoMax : 0.0f;
  if (const TileKernels* const tiles = tile_kernels_for(args)) {
    reduce_tile_columns(*tiles, args, row_factors, kReduction == Reduction::max, n_columns, done);
    return;
  }
  const std::int64_t n_stretches = (longest_head(args) + kKeys - 1) / kKeys;
  // The first keys are seen by the most queries: they go first.
  parallel_for(plan.n_kv_heads * n_stretches, [&](std::int64_t item) {
    thread_local QueryRows queries;
    thread_local Sight sight;
    thread_local AlignedVector<std::byte> keys;
    thread_local std::vector<float> shifts;
    const std::int64_t kv_head = item % plan.n_kv_heads;
    const std::int64_t begin = item / plan.n_kv_heads * kKeys;
    const HeadKV& kv = args.kv[kv_head];
    const std::int64_t end = std::min(begin + kKeys, n_columns(kv_head));
    if (begin >= end) return;
    const std::size_t key_bytes = packed_keys_bytes(args, plan);
    keys.resize(kColumnBlocks * key_bytes);
    for (std::int64_t first = begin, i = 0; first < end; first += kKeyBlock, ++i) {
      pack_entries(args, plan, kv, first, std::min(kKeyBlock, kv.n - first),
                   keys.data() + static_cast<std::size_t>(i) * key_bytes, nullptr);
    }
    alignas(kAlignment) float scores[kRowGroup * kKeyBlock];
    alignas(kAlignment) float totals[kKeys];
    std::fill_n(totals, kKeys, kStart);
    for (std::int64_t block = 0; block < plan.n_query_blocks; ++block) {
      const std::int64_t last_token = std::min((block + 1) * plan.block_tokens, args.n_new) - 1;
      if (visible(args, kv.n, last_token) <= begin) continue;
      queries.gather(args, plan, kv_head, block);
      shifts.resize(static_cast<std::size_t>(queries.n_rows()));
      for (std::int64_t r = 0; r < queries.n_rows(); ++r) {
        const std::int64_t head = kv_head * plan.group + queries.head(r);
        float& shift = shifts[r];
        shift = args.log_sum_exp[head * args.n_new + queries.token(r)] * std::numbers::log2e_v<float>;
        if (row_factors != nullptr) shift -= std::log2(row_factors[queries.token(r)]);
      }
      // Sums are taken block by block, then added: fewer digits are lost than in one long sum.
      alignas(kAlignment) float block_sums[kKeys] = {};
      for (std::int64_t first = begin, i = 0; first < end; first += kKeyBlock, ++i) {
        queries.look(args, kv_head, first, std::min(kKeyBlock, kv.n - first), sight);
        const std::int32_t* seen = sight.seen.data();
        for_row_groups(queries.n_rows(), [&](std::int64_t r, std::int64_t rows) {
          const std::int64_t most = *std::max_element(seen + r, seen + r + rows);
          if (most == 0) return;
          plan.kernels.scores(queries.data() + r * args.head_dim * plan.kernels.element_size, rows, args.head_dim,
                              keys.data() + static_cast<std::size_t>(i) * key_bytes, most, scores, false);
          cap_scores(scores, rows, most, plan.soft_cap);
          hide_entries(scores, rows, sight.hidden_from(r));
          if constexpr (kReduction == Reduction::max) {
            max_columns(scores, rows, seen + r, plan.factor, shifts.data() + r, totals + i * kKeyBlock);
          } else {
            add_columns(scores, rows, seen + r, plan.factor, shifts.data() + r, block_sums + i * kKeyBlock);
          }
        });
      }
      if constexpr (kReduction == Reduction::sum) add(block_sums, totals, kKeys);
    }
    done(kv_head, begin, end - begin, totals);
  });
}

}  // namespace

void attention_column_sums(const AttentionArgs& args, std::span<float* const> sums) {
  if (args.n_new == 0) return;
  const AttentionPlan plan(args);
  reduce_columns<Reduction::sum>(
      args, plan, nullptr, [&](std::int64_t kv_head) { return args.kv[kv_head].n; },
      [&](std::int64_t kv_head, std::int64_t first, std::int64_t n, float* values) {
        scale(values, n, 1.0f / static_cast<float>(plan.group));
        add(values, sums[kv_head] + first, n);
      });
}

void attention_column_maxima(const AttentionArgs& args, const float* row_factors,
                             std::span<const std::span<float>> maxima) {
  const auto columns_of = [&](std::int64_t kv_head) { return maxima[kv_head]; };
  if (args.n_new == 0) {
    for (const auto& row : maxima) std::fill(row.begin(), row.end(), 0.0f);
    return;
  }
  const AttentionPlan plan(args);
  reduce_columns<Reduction::max>(
      args, plan, row_factors,
      [&](std::int64_t kv_head) { return static_cast<std::int64_t>(columns_of(kv_head).size()); },
      [&](std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* exponents) {
        float* to = columns_of(kv_head).data() + first;
        for (std::int64_t j = 0; j < n; ++j) to[j] = std::exp2(exponents[j]);
      });
}

void attention_log_sum_exp(const AttentionArgs& args) {
  if (args.n_new == 0) return;
  if (const TileKernels* const tiles = tile_kernels_for(args)) {
    tile_log_sum_exp(*tiles, args);
    return;
  }
  const AttentionPlan plan(args);
  // Some blocks of queries pass over the keys together: packing keys then costs little.
  constexpr std::int64_t kBlocks = 4;
  const std::int64_t n_items = (plan.n_query_blocks + kBlocks - 1) / kBlocks;
  parallel_for(plan.n_kv_heads * n_items, [&](std::int64_t item) {
    thread_local std::vector<QueryRows> queries(kBlocks);
    thread_local Sight sight;
    thread_local AlignedVector<std::byte> keys;
    thread_local std::vector<float> row_max, row_sum;
    const std::int64_t kv_head = item % plan.n_kv_heads;
    const std::int64_t first_block = item / plan.n_kv_heads * kBlocks;
    const std::int64_t n_blocks = std::min(kBlocks, plan.n_query_blocks - first_block);
    const HeadKV& kv = args.kv[kv_head];
    const std::int64_t max_rows = plan.block_tokens * plan.group;
    row_max.assign(static_cast<std::size_t>(n_blocks * max_rows), kNoMax);
    row_sum.assign(static_cast<std::size_t>(n_blocks * max_rows), 0.0f);
    for (std::int64_t b = 0; b < n_blocks; ++b) {
      queries[b].gather(args, plan, kv_head, first_block + b);
    }
    const std::int64_t last_token = queries[n_blocks - 1].last_token();
    const std::int64_t end = std::min(kv.n, visible(args, kv.n, last_token));
    keys.resize(packed_keys_bytes(args, plan));
    alignas(kAlignment) float scores[kRowGroup * kKeyBlock];
    for (std::int64_t first = 0; first < end; first += kKeyBlock) {
      const std::int64_t n = std::min(kKeyBlock, kv.n - first);
      pack_entries(args, plan, kv, first, n, keys.data(), nullptr);
      for (std::int64_t b = 0; b < n_blocks; ++b) {
        const QueryRows& rows_of_block = queries[b];
        rows_of_block.look(args, kv_head, first, n, sight);
        const std::int32_t* seen = sight.seen.data();
        for_row_groups(rows_of_block.n_rows(), [&](std::int64_t r, std::int64_t rows) {
          const std::int64_t most = *std::max_element(seen + r, seen + r + rows);
          if (most == 0) return;
          plan.kernels.scores(rows_of_block.data() + r * args.head_dim * plan.kernels.element_size, rows, args.head_dim,
                              keys.data(), most, scores, false);
          cap_scores(scores, rows, most, plan.soft_cap);
          hide_entries(scores, rows, sight.hidden_from(r));
          add_row_sums(scores, rows, seen + r, plan.factor, row_max.data() + b * max_rows + r,
                       row_sum.data() + b * max_rows + r);
        });
      }
    }
    for (std::int64_t b = 0; b < n_blocks; ++b) {
      const QueryRows& rows = queries[b];
      for (std::int64_t r = 0; r < rows.n_rows(); ++r) {
        const auto at = static_cast<std::size_t>(b * max_rows + r);
        const std::int64_t head = kv_head * plan.group + rows.head(r);
        args.log_sum_exp[head * args.n_new + rows.token(r)] =
            row_max[at] * std::numbers::ln2_v<float> + std::log(row_sum[at]);
      }
    }
  });
}

void attention_mean_weights(const AttentionArgs& args, std::span<float* const> weights,
                            std::span<const float> factors) {
  for (std::size_t h = 0; h < args.kv.size(); ++h) std::fill_n(weights[h], args.kv[h].n, 0.0f);
  if (args.n_new == 0) return;
  const AttentionPlan plan(args);
  const std::int64_t longest = longest_head(args);
  const std::int64_t rows = std::min(args.n_new, plan.block_tokens) * plan.group;
  const std::int64_t head_bytes = rows * (longest + kKeyBlock) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t at_a_time = std::max<std::int64_t>(1, kScoreBytes / head_bytes);
  for (std::int64_t first = 0; first < plan.n_kv_heads; first += at_a_time) {
    Window window(args, plan, factors, first, std::min(at_a_time, plan.n_kv_heads - first), longest);
    for (std::int64_t block = 0; block < plan.n_query_blocks; ++block) window.add(block, weights);
  }
}

}  // namespace kvpress
