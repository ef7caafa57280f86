#include "press/kit/sinks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/rowwise.h"

namespace kvpress {

void add_sinks(std::span<const float> sinks, std::span<float> log_sum_exp) {
  const std::size_t n_new = sinks.empty() ? 0 : log_sum_exp.size() / sinks.size();
  for (std::size_t h = 0; h < sinks.size(); ++h) {
    for (float& sum : log_sum_exp.subspan(h * n_new, n_new)) {
      sum = std::max(sum, sinks[h]) + std::log1p(std::exp(-std::abs(sum - sinks[h])));
    }
  }
}

/// A query at a time: factors are of queries, and sums of columns take none.
void mean_weights_with_sinks(const AttentionArgs& args, std::span<const float> sinks, std::span<float* const> weights,
                             std::span<const float> factors) {
  if (sinks.empty()) {
    attention_mean_weights(args, weights, factors);
    return;
  }
  std::vector<std::vector<float>> sums;
  std::vector<float*> rows;
  for (std::size_t h = 0; h < args.kv.size(); ++h) {
    std::fill_n(weights[h], args.kv[h].n, 0.0f);
    sums.emplace_back(static_cast<std::size_t>(args.kv[h].n));
  }
  for (auto& row : sums) rows.push_back(row.data());
  std::vector<float> log_sum_exp(static_cast<std::size_t>(args.n_heads));
  std::vector<HeadKV> kv(args.kv.begin(), args.kv.end());
  std::vector<const std::int32_t*> first_seen(args.first_seen.begin(), args.first_seen.end());
  for (std::int64_t i = 0; i < args.n_new; ++i) {
    AttentionArgs one = args;
    one.queries += i * args.n_heads * args.head_dim;
    one.n_new = 1;
    for (std::size_t h = 0; h < kv.size(); ++h) kv[h].n = args.kv[h].n - args.n_new + i + 1;
    for (std::size_t h = 0; h < first_seen.size(); ++h) first_seen[h] = args.first_seen[h] + i;
    one.kv = kv;
    one.first_seen = first_seen;
    one.log_sum_exp = log_sum_exp.data();
    attention_log_sum_exp(one);
    add_sinks(sinks, log_sum_exp);
    for (auto& row : sums) std::fill(row.begin(), row.end(), 0.0f);
    attention_column_sums(one, rows);
    for (std::size_t h = 0; h < kv.size(); ++h) {
      const float factor = factors.empty() ? 1.0f : factors[h * static_cast<std::size_t>(args.n_new) + i];
      scale(rows[h], kv[h].n, factor / static_cast<float>(args.n_new));
      add(rows[h], weights[h], kv[h].n);
    }
  }
}

}  // namespace kvpress
