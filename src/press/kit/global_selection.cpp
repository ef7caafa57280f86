#include "press/kit/global_selection.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/topk.h"

namespace kvpress {
namespace {

void refuse_nan_of(std::int64_t layer, const Scores& scores) {
  try {
    refuse_nan(scores);
  } catch (const PressError& error) {
    throw PressError(fmt::format("layer {}: {}", layer, error.what()));
  }
}

/// Keeps the `n_left` best entries of layers [first, first + n) together.
void keep_best_of(const ContextView& context, const std::vector<Scores>& scores, std::size_t first, std::size_t n,
                  std::int64_t n_left) {
  AlignedVector<float> all;
  for (std::size_t l = first; l < first + n; ++l) {
    refuse_nan_of(static_cast<std::int64_t>(l), scores[l]);
    for (const auto& row : scores[l]) all.insert(all.end(), row.begin(), row.end());
  }
  if (n_left >= static_cast<std::int64_t>(all.size())) return;
  const std::vector<std::int32_t> best = top_k(all, n_left);
  auto next = best.begin();
  std::int32_t begin = 0;
  for (std::size_t l = first; l < first + n; ++l) {
    if (scores[l].empty()) continue;
    Kept kept;
    for (const auto& row : scores[l]) {
      const std::int32_t end = begin + static_cast<std::int32_t>(row.size());
      std::vector<std::int32_t>& of_head = kept.emplace_back();
      for (; next != best.end() && *next < end; ++next) of_head.push_back(*next - begin);
      begin = end;
    }
    context.keep(static_cast<std::int64_t>(l), kept);
  }
}

}  // namespace

std::int64_t entries_left(const BudgetView& budget, std::int64_t n_sequences, bool pruned_first) {
  const std::int64_t all = n_sequences * budget.n_seen;
  // A number of tokens was asked for: the ratio only says it once more, rounded.
  if (budget.ratio == 1.0 - static_cast<double>(budget.n_kept) / static_cast<double>(budget.n_seen)) {
    return n_sequences * budget.n_kept;
  }
  if (pruned_first) return all - static_cast<std::int64_t>(static_cast<double>(all) * budget.ratio);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(all) * (1.0 - budget.ratio)));
}

std::vector<Scores> carried_scores(const ContextView& context, std::int64_t channel) {
  const CacheShape& shape = context.cache.shape();
  std::vector<Scores> scores(static_cast<std::size_t>(shape.n_layers));
  for (const std::int64_t l : context.layers()) {
    for (std::int64_t h = 0; h < shape.n_kv_heads; ++h) {
      const std::span<const float> of_head = context.carried(l, h, channel);
      scores[l].emplace_back(of_head.begin(), of_head.end());
    }
  }
  return scores;
}

void tell(const ContextView& context, const std::vector<Scores>& scores) {
  if (context.watcher == nullptr || !context.watcher->scored) return;
  for (const std::int64_t l : context.layers()) context.watcher->scored(l, scores[l]);
}

void keep_best_of_all(const ContextView& context, const std::vector<Scores>& scores, std::int64_t n_left) {
  tell(context, scores);
  keep_best_of(context, scores, 0, scores.size(), n_left);
}

void keep_best(const ContextView& context, const std::vector<Scores>& scores, bool layerwise) {
  const CacheShape& shape = context.cache.shape();
  if (!layerwise) {
    keep_best_of_all(context, scores,
                     entries_left(context.budget, std::ssize(context.layers()) * shape.n_kv_heads, true));
    return;
  }
  tell(context, scores);
  const std::int64_t n_left = entries_left(context.budget, shape.n_kv_heads, true);
  for (const std::int64_t l : context.layers()) keep_best_of(context, scores, static_cast<std::size_t>(l), 1, n_left);
}

}  // namespace kvpress
