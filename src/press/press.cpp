#include "kvpress/press/press.h"

#include <algorithm>
#include <stdexcept>

#include "kvpress/base/threads.h"
#include "ops/topk.h"

namespace kvpress {

PressNeeds operator+(const PressNeeds& a, const PressNeeds& b) {
  PressNeeds sum;
  sum.recent_queries = std::max(a.recent_queries, b.recent_queries);
  sum.every_block = a.every_block || b.every_block;
  sum.newest_block = a.newest_block || b.newest_block;
  sum.accumulated_attention = a.accumulated_attention || b.accumulated_attention;
  sum.n_carried = a.n_carried + b.n_carried;
  sum.rebuilds_positions = a.rebuilds_positions || b.rebuilds_positions;
  sum.layer_outputs = a.layer_outputs || b.layer_outputs;
  return sum;
}

std::string_view to_string(PressKind kind) {
  switch (kind) {
    case PressKind::scores:
      return "scores";
    case PressKind::selection:
      return "selects";
    case PressKind::edit:
      return "edits";
    case PressKind::context:
      return "compresses all layers at once";
  }
  return "?";
}

KVHead& LayerView::mutable_head(std::int64_t kv_head) const {
  return part != nullptr ? (*part)[kv_head] : block.cache.head(block.layer, kv_head);
}

const KVHead& LayerView::head(std::int64_t kv_head) const { return mutable_head(kv_head); }

std::int64_t LayerView::total_size() const {
  std::int64_t total = 0;
  for (std::int64_t h = 0; h < n_kv_heads(); ++h) total += head(h).size();
  return total;
}

std::int64_t LayerView::longest() const {
  std::int64_t longest = 0;
  for (std::int64_t h = 0; h < n_kv_heads(); ++h) longest = std::max(longest, head(h).size());
  return longest;
}

std::span<float> LayerView::carried(std::int64_t kv_head, std::int64_t channel) const {
  return mutable_head(kv_head).carried(first_carried + channel);
}

void LayerView::write_value(std::int64_t kv_head, std::int64_t j, const float* value) const {
  mutable_head(kv_head).write_value(j, value);
}

void LayerView::keep(const Kept& kept) const {
  if (kept.empty()) return;
  if (watcher != nullptr && watcher->kept) watcher->kept(block.layer, kept);
  for (std::int64_t h = 0; h < n_kv_heads(); ++h) {
    const auto& indices = kept[h];
    if (part != nullptr) {
      mutable_head(h).keep(indices);
    } else {
      block.cache.keep(block.layer, h, indices);
    }
  }
}

void ContextView::keep(std::int64_t layer, const Kept& kept) const {
  if (kept.empty()) return;
  if (watcher != nullptr && watcher->kept) watcher->kept(layer, kept);
  for (std::size_t h = 0; h < kept.size(); ++h) cache.keep(layer, static_cast<std::int64_t>(h), kept[h]);
}

void Press::score(const LayerView& /*layer*/, Scores& /*scores*/) {
  throw std::logic_error("score() of a press that gives none");  // the registry lets only scorers be asked
}

Kept Press::select(const LayerView& layer) {
  if (layer.fits()) return {};
  return best_of_each_head(scores_of(*this, layer), layer.budget.n_kept);
}

void Press::compress(const LayerView& layer) { layer.keep(select(layer)); }

Scores scores_of(Press& press, const LayerView& layer) {
  Scores scores(static_cast<std::size_t>(layer.n_kv_heads()));
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    scores[h].resize(static_cast<std::size_t>(layer.head(h).size()));
  }
  press.score(layer, scores);
  if (layer.watcher != nullptr && layer.watcher->scored) layer.watcher->scored(layer.block.layer, scores);
  return scores;
}

Kept best_of_each_head(const Scores& scores, std::span<const std::int64_t> n_kept) {
  Kept kept(scores.size());
  parallel_for(static_cast<std::int64_t>(scores.size()), [&](std::int64_t h) {
    const auto at = static_cast<std::size_t>(h);
    kept[at] = top_k(scores[at], n_kept[at]);
  });
  return kept;
}

Kept best_of_each_head(const Scores& scores, std::int64_t n_kept) {
  const std::vector<std::int64_t> each(scores.size(), n_kept);
  return best_of_each_head(scores, each);
}

}  // namespace kvpress
