#include "press/kit/head_budget.h"

#include <algorithm>
#include <limits>

#include "ops/topk.h"

namespace kvpress {

std::int64_t tokens_in_sight(const LayerView& layer) {
  const std::int64_t window = layer.block.spec().window;
  return window > 0 ? std::min(window, layer.budget.n_seen) : layer.budget.n_seen;
}

std::int64_t safe_entries(std::int64_t n_kept, double safe_share) {
  if (safe_share <= 0 || n_kept <= 0) return 0;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n_kept) * safe_share));
}

std::vector<std::int64_t> shared_budget(const Scores& scores, std::int64_t n_kept, double safe_share) {
  const std::int64_t n_safe = safe_entries(n_kept, safe_share);
  AlignedVector<float> all;
  std::vector<std::int64_t> ends;
  for (const auto& row : scores) {
    const std::size_t begin = all.size();
    all.insert(all.end(), row.begin(), row.end());
    if (n_safe > 0) {
      for (const std::int32_t i : top_k(row, n_safe)) {
        all[begin + static_cast<std::size_t>(i)] = std::numeric_limits<float>::max();
      }
    }
    ends.push_back(static_cast<std::int64_t>(all.size()));
  }
  std::vector<std::int64_t> counts(scores.size(), 0);
  std::size_t head = 0;
  for (const std::int32_t i : top_k(all, n_kept * static_cast<std::int64_t>(scores.size()))) {
    while (i >= ends[head]) ++head;
    ++counts[head];
  }
  return counts;
}

}  // namespace kvpress
