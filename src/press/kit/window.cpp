#include "kvpress/press/kit/window.h"

#include <algorithm>
#include <vector>

#include "kvpress/model/weights.h"
#include "kvpress/ops/attention/attention.h"
#include "model/attention_args.h"
#include "press/kit/sinks.h"

namespace kvpress {
namespace {

/// In a layer with a window, the first entry of each KV head that each of the last n tokens sees: at least its own.
std::vector<std::vector<std::int32_t>> first_in_window(const LayerView& layer, std::int64_t n) {
  std::vector<std::vector<std::int32_t>> result;
  const std::int64_t window = layer.block.spec().window;
  if (window == 0) return result;
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    const auto positions = layer.head(h).positions();
    auto& row = result.emplace_back();
    for (std::int64_t place = layer.budget.n_seen - n; place < layer.budget.n_seen; ++place) {
      const auto first = std::upper_bound(positions.begin(), positions.end(), place - window);
      row.push_back(static_cast<std::int32_t>(first - positions.begin()));
    }
  }
  return result;
}

}  // namespace

std::int64_t window_attention(const LayerView& layer, std::int64_t window, Scores& scores, WindowRows which) {
  const ModelConfig& config = layer.block.config;
  // The last `used` entries of every head must be the queries' own tokens for "up to its own" to be a matter of slots.
  layer.rights.check_recent_queries();
  std::int64_t used = std::min(window, layer.recent_queries.rows);
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    const auto positions = layer.head(h).positions();
    std::int64_t contiguous = 0;
    while (contiguous < std::min(used, layer.head(h).size()) &&
           positions[positions.size() - 1 - static_cast<std::size_t>(contiguous)] ==
               layer.budget.n_seen - 1 - contiguous) {
      ++contiguous;
    }
    used = contiguous;
  }
  // Remembered before RoPE, turned here.
  AlignedVector<float> queries(static_cast<std::size_t>(used * layer.recent_queries.cols));
  for (std::int64_t i = 0; i < used; ++i) {
    float* row = queries.data() + i * layer.recent_queries.cols;
    std::copy_n(layer.recent_queries.row(layer.recent_queries.rows - used + i), layer.recent_queries.cols, row);
    for (std::int64_t h = 0; h < config.n_heads; ++h) {
      layer.block.rope.apply(row + h * config.head_dim, layer.next_position(h / config.group_size()) - used + i);
    }
  }
  std::vector<HeadKV> kv;
  std::vector<float*> rows;
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    kv.push_back(layer.head(h).view());
    rows.push_back(scores[h].data());
  }
  AttentionArgs args =
      attention_args(config, layer.block.layer, queries.data(), used, kv, layer.block.cache.shape().format.type);
  const std::vector<std::vector<std::int32_t>> bounds = first_in_window(layer, used);
  std::vector<const std::int32_t*> first_seen;
  for (const auto& row : bounds) first_seen.push_back(row.data());
  args.first_seen = first_seen;
  std::vector<float> factors;
  if (which == WindowRows::by_entries_before) {
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      // A first query that nothing stands before sees itself alone.
      for (std::int64_t i = 0; i < used; ++i) {
        factors.push_back(static_cast<float>(std::max<std::int64_t>(1, layer.head(h).size() - used + i)));
      }
    }
  }
  mean_weights_with_sinks(args, layer.block.weights.sinks, rows, factors);
  return used;
}

}  // namespace kvpress
