// ThinK (https://arxiv.org/abs/2407.21018): channels of the keys that neither the recent queries nor the keys put much
// into are taken away. Values and the number of entries stay as they are.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Think : public Editor<Think> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.optional_real("key_channel_compression_ratio", ratio_, 0, 1,
                          "share of the keys' channels to remove; none: the run's compression ratio");
    visitor.integer("window_size", window_size_, 1, "last queries, which determine the importance of channels");
  }
  PressNeeds needs() const override { return {.recent_queries = window_size_}; }

  /// The channels of a head are chosen once, from what it holds then; later tokens lose the same ones.
  void compress(const LayerView& layer) override {
    const std::int64_t d = layer.block.config.head_dim;
    const double ratio = ratio_.value_or(layer.budget.ratio);
    const std::int64_t n_removed = std::min(d - 1, static_cast<std::int64_t>(static_cast<double>(d) * ratio));
    if (n_removed <= 0) return;
    std::vector<std::vector<std::int32_t>> kept(static_cast<std::size_t>(layer.n_kv_heads()));
    parallel_for(layer.n_kv_heads(), [&](std::int64_t h) {
      if (layer.head(h).n_thin() == 0) kept[h] = choose(layer, h, n_removed);
    });
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) layer.thin_keys(h, kept[h]);
  }

 private:
  /// Sums of squares of each channel.
  static std::vector<double> squares(const float* rows, std::int64_t n, std::int64_t d, std::vector<double> sums) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t c = 0; c < d; ++c) sums[c] += static_cast<double>(rows[j * d + c]) * rows[j * d + c];
    }
    return sums;
  }

  static std::vector<double> key_squares(const KVHead& head, std::int64_t d) {
    constexpr std::int64_t kRows = 512;
    std::vector<double> sums(static_cast<std::size_t>(d), 0.0);
    AlignedVector<float> rows(static_cast<std::size_t>(kRows * d));
    for (std::int64_t first = 0; first < head.size(); first += kRows) {
      const std::int64_t n = std::min(kRows, head.size() - first);
      head.keys_as_float(first, n, rows.data());
      sums = squares(rows.data(), n, d, std::move(sums));
    }
    return sums;
  }

  /// Of the group's recent queries, after RoPE.
  static std::vector<double> query_squares(const LayerView& layer, std::int64_t kv_head) {
    const ModelConfig& config = layer.block.config;
    const std::int64_t d = config.head_dim;
    const std::int64_t group = config.group_size();
    const std::int64_t n = layer.recent_queries.rows;
    std::vector<double> sums(static_cast<std::size_t>(d), 0.0);
    std::vector<float> query(static_cast<std::size_t>(d));
    for (std::int64_t i = 0; i < n; ++i) {
      // Where a renumbered head holds fewer entries than there are queries, the oldest were at its beginning.
      const std::int64_t position = std::max<std::int64_t>(0, layer.next_position(kv_head) - n + i);
      for (std::int64_t g = 0; g < group; ++g) {
        std::copy_n(layer.recent_queries.row(i) + (kv_head * group + g) * d, d, query.data());
        layer.block.rope.apply(query.data(), position);
        sums = squares(query.data(), 1, d, std::move(sums));
      }
    }
    return sums;
  }

  static std::vector<std::int32_t> choose(const LayerView& layer, std::int64_t h, std::int64_t n_removed) {
    const std::int64_t d = layer.block.config.head_dim;
    const std::vector<double> keys = key_squares(layer.head(h), d);
    std::vector<double> scores = query_squares(layer, h);
    for (std::size_t c = 0; c < scores.size(); ++c) scores[c] *= keys[c];
    std::vector<std::int32_t> order(static_cast<std::size_t>(d));
    std::iota(order.begin(), order.end(), 0);
    // RoPE mixes two channels: a cache that turns its keys again can only lose both.
    const std::int64_t half = layer.block.cache.shape().renumber ? layer.block.rope.rotary_dim() / 2 : 0;
    for (std::int64_t c = 0; c < half; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const auto partner = static_cast<std::size_t>(c + half);
      scores[at] = scores[partner] = (scores[at] + scores[partner]) / 2;
    }
    const auto pair_of = [half](std::int32_t c) { return c < 2 * half ? c % static_cast<std::int32_t>(half) : c; };
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      const double x = scores[a];
      const double y = scores[b];
      return x != y ? x > y : pair_of(a) != pair_of(b) ? pair_of(a) > pair_of(b) : a > b;
    });
    auto n_kept = static_cast<std::size_t>(d - n_removed);
    const bool splits_a_pair = order[n_kept - 1] != order[n_kept] && order[n_kept] < 2 * half &&
                               pair_of(order[n_kept - 1]) == pair_of(order[n_kept]);
    order.resize(splits_a_pair ? n_kept + 1 : n_kept);
    std::sort(order.begin(), order.end());
    return order;
  }

  std::optional<double> ratio_;
  std::int64_t window_size_ = 32;
};

}  // namespace

const PressEntry kThinkPress = {
    "think",
    "removes the least important channels of the keys",
    "https://arxiv.org/abs/2407.21018",
    "keys, the last window_size queries",
    make_press<Think>,
    "The product of query and key is a sum over channels, and many channels contribute almost nothing. These are not "
    "stored; no token is lost.",
    "channels c with the smallest (mean of q_c² over the last window_size queries and the group)·(mean of k_c² over "
    "the entries) are removed; values are kept",
    "In addition to a press that evicts, if memory must shrink further; alone it saves at most half."};

}  // namespace kvpress
