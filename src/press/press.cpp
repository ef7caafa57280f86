#include "kvpress/press/press.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "base/counted.h"
#include "kvpress/base/threads.h"
#include "kvpress/press/press_state.h"
#include "ops/rowwise.h"
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

std::int64_t LayerView::rank_of_layer() const {
  if (budget.layers.empty()) return block.layer;
  return std::lower_bound(budget.layers.begin(), budget.layers.end(), block.layer) - budget.layers.begin();
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

const float* RecentQueriesView::row(std::int64_t i) const {
  if (i < 0 || i >= rows) {
    throw PressError(
        fmt::format("reads recent query {} of {}; needs().recent_queries must say how many it reads", i, rows));
  }
  return Matrix::row(i);
}

void PressRights::check_carried(std::int64_t channel) const {
  if (needs == nullptr) return;
  const std::int64_t first = end_carried - needs->n_carried;
  if (channel >= first && channel < end_carried) return;
  throw PressError(
      fmt::format("uses carried float {}, but needs().n_carried is {}", channel - first, needs->n_carried));
}

void PressRights::check_accumulated_attention() const {
  if (needs == nullptr || needs->accumulated_attention) return;
  throw PressError("reads accumulated attention, which its needs() do not ask for");
}

void PressRights::check_recent_queries() const {
  if (needs == nullptr || needs->recent_queries > 0) return;
  throw PressError("reads recent queries, which its needs() do not ask for");
}

std::span<const float> LayerView::accumulated_attention(std::int64_t kv_head) const {
  rights.check_accumulated_attention();
  return head(kv_head).carried(0);
}

std::span<float> LayerView::carried(std::int64_t kv_head, std::int64_t channel) const {
  rights.check_carried(first_carried + channel);
  return mutable_head(kv_head).carried(first_carried + channel);
}

void LayerView::write_value(std::int64_t kv_head, std::int64_t j, const float* value) const {
  // What float16 rounds to infinity, and the scales of quantized values with it.
  const CacheFormat& format = block.cache.shape().format;
  const float limit = format.type == DType::f16 || format.bits > 0 ? 65520.0f : std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < block.config.head_dim; ++i) {
    if (std::abs(value[i]) < limit) continue;
    throw PressError(fmt::format("writes {} as a value of KV head {}, which a cache in {} does not hold", value[i],
                                 kv_head, to_string(format)));
  }
  mutable_head(kv_head).write_value(j, value);
}

namespace {

/// `size_of(h)`: entries of a head.
template <typename Size>
void check_kept(const Kept& kept, std::int64_t n_heads, Size size_of) {
  if (std::ssize(kept) != n_heads) {
    throw PressError(fmt::format("keeps entries of {}; the model has {}", counted(kept.size(), "KV head"), n_heads));
  }
  for (std::int64_t h = 0; h < n_heads; ++h) {
    const std::int64_t n = size_of(h);
    std::int64_t before = -1;
    for (const std::int32_t it : kept[static_cast<std::size_t>(h)]) {
      if (it < 0 || it >= n) throw PressError(fmt::format("keeps entry {} of KV head {}, which has {}", it, h, n));
      if (it == before) throw PressError(fmt::format("keeps entry {} of KV head {} twice", it, h));
      if (it < before) {
        throw PressError(fmt::format("keeps entry {} of KV head {} after {}; indices must ascend", it, h, before));
      }
      before = it;
    }
  }
}

}  // namespace

void add_protected(Kept& kept, std::span<const PlaceRange> ranges, const HeadOf& head) {
  if (ranges.empty()) return;
  for (std::size_t h = 0; h < kept.size(); ++h) {
    const auto places = head(static_cast<std::int64_t>(h)).positions();
    const auto first_from = [&](std::int64_t place) {
      return static_cast<std::int32_t>(std::lower_bound(places.begin(), places.end(), place) - places.begin());
    };
    auto& row = kept[h];
    for (const PlaceRange& it : ranges) {
      for (std::int32_t j = first_from(it.begin); j < first_from(it.end); ++j) row.push_back(j);
    }
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
  }
}

void LayerView::keep(const Kept& chosen) const {
  if (chosen.empty()) return;
  check_kept(chosen, n_kv_heads(), [&](std::int64_t h) { return head(h).size(); });
  Kept kept = chosen;
  add_protected(kept, stays, [&](std::int64_t h) -> const KVHead& { return head(h); });
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

std::vector<std::int64_t> ContextView::layers() const {
  std::vector<std::int64_t> layers(budget.layers.begin(), budget.layers.end());
  if (layers.empty()) {
    layers.resize(static_cast<std::size_t>(cache.shape().n_layers));
    std::iota(layers.begin(), layers.end(), 0);
  }
  return layers;
}

void ContextView::keep(std::int64_t layer, const Kept& chosen) const {
  if (chosen.empty()) return;
  try {
    check_kept(chosen, cache.shape().n_kv_heads, [&](std::int64_t h) { return cache.head(layer, h).size(); });
  } catch (const PressError& error) {
    throw PressError(fmt::format("layer {}: {}", layer, error.what()));
  }
  Kept kept = chosen;
  add_protected(kept, stays, [&](std::int64_t h) -> const KVHead& { return cache.head(layer, h); });
  if (watcher != nullptr && watcher->kept) watcher->kept(layer, kept);
  for (std::size_t h = 0; h < kept.size(); ++h) cache.keep(layer, static_cast<std::int64_t>(h), kept[h]);
}

void Press::score(const LayerView& /*layer*/, Scores& /*scores*/) {
  throw std::logic_error("score() of a press that gives none");  // the registry lets only scorers be asked
}

Kept Press::select(const LayerView& layer) {
  if (layer.fits()) return {};
  Scores scores = scores_of(*this, layer);
  if (!layer.stays.empty()) {  // what stays anyway takes no place of the budget from others
    Kept safe(scores.size());
    add_protected(safe, layer.stays, [&](std::int64_t h) -> const KVHead& { return layer.head(h); });
    for (std::size_t h = 0; h < scores.size(); ++h) {
      for (const std::int32_t j : safe[h]) scores[h][j] = -std::numeric_limits<float>::infinity();
    }
  }
  return best_of_each_head(scores, layer.budget.n_kept);
}

void Press::compress(const LayerView& layer) { layer.keep(select(layer)); }

void Press::visit_state(StateVisitor& visitor) {
  const PressNeeds wants = needs();
  if ((wants.every_block && wants.n_carried == 0) || wants.layer_outputs) visitor.cannot_list();
}

void refuse_nan(const Scores& scores) {
  for (std::size_t h = 0; h < scores.size(); ++h) {
    const auto& row = scores[h];
    if (all_finite(row.data(), std::ssize(row))) continue;
    const auto found = std::find_if(row.begin(), row.end(), [](float score) { return std::isnan(score); });
    if (found != row.end()) {
      throw PressError(
          fmt::format("the score of entry {} of KV head {} is not a number, or was not given", found - row.begin(), h));
    }
  }
}

Scores scores_of(Press& press, const LayerView& layer) {
  Scores scores(static_cast<std::size_t>(layer.n_kv_heads()));
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    // What the press leaves out stays NaN, which refuse_nan() finds; memory that was used before would pass as scores.
    scores[h].assign(static_cast<std::size_t>(layer.head(h).size()), std::numeric_limits<float>::quiet_NaN());
  }
  press.score(layer, scores);
  refuse_nan(scores);
  if (layer.watcher != nullptr && layer.watcher->scored) layer.watcher->scored(layer.block.layer, scores);
  return scores;
}

Kept best_of_each_head(const Scores& scores, std::span<const std::int64_t> n_kept) {
  refuse_nan(scores);
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
