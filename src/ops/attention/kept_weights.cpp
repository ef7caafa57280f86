#include "ops/attention/kept_weights.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

namespace kvpress {

ColumnSums::ColumnSums(const AttentionArgs& args) {
  // A column's sum is at most n_new.
  units_ = std::ldexp(1.0, 62 - std::bit_width(static_cast<std::uint64_t>(args.n_new)));
  if (args.column_sums.empty()) return;
  for (const HeadKV& kv : args.kv) sums_.emplace_back(static_cast<std::size_t>(kv.n), 0);
}

void ColumnSums::add(std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* sums) {
  std::int64_t* to = sums_[kv_head].data() + first;
  for (std::int64_t j = 0; j < n; ++j) {
    const double value = static_cast<double>(sums[j]) * units_;
    // Weights that are no numbers count as nothing: a conversion beyond the type is undefined.
    const auto units = value > 0 ? static_cast<std::int64_t>(std::min(value, 0x1p62)) : std::int64_t{0};
    std::atomic_ref<std::int64_t>(to[j]).fetch_add(units, std::memory_order_relaxed);
  }
}

void ColumnSums::finish(const AttentionArgs& args) const {
  for (std::size_t h = 0; h < sums_.size(); ++h) {
    float* to = args.column_sums[h];
    for (const std::int64_t sum : sums_[h]) *to++ += static_cast<float>(static_cast<double>(sum) / units_);
  }
}

void KeptWeights::start(std::int64_t n_rows, std::int64_t n_keys) {
  const auto n = static_cast<std::size_t>((n_keys + kKeyBlock - 1) / kKeyBlock * n_rows);
  n_blocks_ = 0;
  weights_.resize(n * kKeyBlock);
  row_max_.resize(n);
}

void KeptWeights::attend(const AttentionPlan& plan, const AttentionRows& rows, const void* keys, const void* values,
                         const std::int32_t* seen) {
  const std::int64_t at = n_blocks_++ * rows.n_rows;
  plan.kernels.attend_and_keep(rows, keys, values, seen, weights_.data() + at * kKeyBlock);
  std::copy_n(rows.row_max, rows.n_rows, row_max_.data() + at);
}

void KeptWeights::add_to(ColumnSums& sums, const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head,
                         const QueryRows& queries, const AttentionRows& rows) {
  const std::int64_t n_entries = args.kv[kv_head].n;
  const auto all_rows = static_cast<std::size_t>(rows.n_rows);
  shifts_.resize(all_rows);
  for (std::size_t r = 0; r < all_rows; ++r) {
    shifts_[r] = rows.row_max[r] + std::log2(rows.row_sum[r] * static_cast<float>(plan.group));
  }
  exponents_.resize(all_rows);
  for (std::int64_t block = 0; block < n_blocks_; ++block) {
    const std::int64_t at = block * rows.n_rows;
    const std::int64_t first = block * kKeyBlock;
    const std::int64_t n = std::min(kKeyBlock, n_entries - first);
    for (std::size_t r = 0; r < all_rows; ++r) {
      exponents_[r] = row_max_[static_cast<std::size_t>(at) + r] - shifts_[r];
    }
    queries.look(args, kv_head, first, n, sight_);
    const std::int32_t* seen = sight_.seen.data();
    alignas(kAlignment) float columns[kKeyBlock] = {};
    for_row_groups(rows.n_rows, [&](std::int64_t r, std::int64_t n_rows) {
      add_weighted_columns(weights_.data() + (at + r) * kKeyBlock, n_rows, seen + r, exponents_.data() + r, columns);
    });
    sums.add(kv_head, first, n, columns);
  }
}

}  // namespace kvpress
