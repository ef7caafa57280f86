#include "kvpress/press/kit/window.h"

#include <algorithm>
#include <vector>

#include "kvpress/ops/attention/attention.h"
#include "model/attention_args.h"

namespace kvpress {

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
  const AttentionArgs args =
      attention_args(config, layer.block.layer, queries.data(), used, kv, layer.block.cache.shape().format.type);
  std::vector<float> factors;
  if (which == WindowRows::by_entries_before) {
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      // A first query that nothing stands before sees itself alone.
      for (std::int64_t i = 0; i < used; ++i) {
        factors.push_back(static_cast<float>(std::max<std::int64_t>(1, layer.head(h).size() - used + i)));
      }
    }
  }
  attention_mean_weights(args, rows, factors);
  return used;
}

}  // namespace kvpress
