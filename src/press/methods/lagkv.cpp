// LagKV (https://arxiv.org/abs/2504.04704): tokens are taken in partitions of lag_size, and a token is worth more the
// less it looks like the partition that follows: its channels, scaled to the range they take there, vary more.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "ops/rowwise.h"
#include "press/entries.h"

namespace kvpress {
namespace {

/// The least and the largest value of each channel of n rows.
void channel_range(const float* rows, std::int64_t n, std::int64_t d, float* least, float* largest) {
  std::copy_n(rows, d, least);
  std::copy_n(rows, d, largest);
  for (std::int64_t j = 1; j < n; ++j) {
    const float* row = rows + j * d;
    for (std::int64_t c = 0; c < d; ++c) {
      least[c] = row[c] < least[c] ? row[c] : least[c];
      largest[c] = row[c] > largest[c] ? row[c] : largest[c];
    }
  }
}

class LagKV : public Scorer<LagKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("n_sink", n_sink_, 0, "first tokens that are always kept");
    visitor.integer("lag_size", lag_size_, 1, "tokens of a partition");
    visitor.flag("cross_scoring", cross_scoring_, "compare scores across partitions instead of ranks within each");
  }

  void score(const LayerView& layer, Scores& scores) override {
    const std::int64_t per_head = layer.longest() / lag_size_;
    for (auto& row : scores) score_ends(row);
    parallel_for(layer.n_kv_heads() * per_head, [&](std::int64_t item) {
      const std::int64_t h = item / per_head;
      const std::int64_t first = n_sink_ + item % per_head * lag_size_;
      if (first + 2 * lag_size_ > layer.head(h).size()) return;  // nothing whole follows
      score_partition(layer, h, first, scores[h].data() + first);
    });
  }

 private:
  /// What is not compared stays: the sinks, the last whole partition and what follows. Of a head with fewer than two
  /// partitions the newest stay.
  void score_ends(AlignedVector<float>& row) const {
    std::fill(row.begin(), row.end(), 1.0f);
    const auto n = static_cast<std::int64_t>(row.size());
    if (n >= n_sink_ + 2 * lag_size_) return;
    for (std::int64_t j = n_sink_; j < n; ++j) {
      row[j] = static_cast<float>(j - n_sink_) / static_cast<float>(n - n_sink_);
    }
  }

  void score_partition(const LayerView& layer, std::int64_t h, std::int64_t first, float* scores) const {
    const auto size = static_cast<std::size_t>(lag_size_);
    std::vector<float> keys(size);
    std::vector<float> values(size);
    weigh(layer, Rows::keys, h, first, keys.data());
    weigh(layer, Rows::values, h, first, values.data());
    for (std::size_t j = 0; j < size; ++j) keys[j] = (keys[j] + values[j]) / 2;
    if (cross_scoring_) {
      std::copy(keys.begin(), keys.end(), scores);
      return;
    }
    std::vector<std::int32_t> order(size);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return keys[a] < keys[b]; });
    for (std::size_t rank = 0; rank < size; ++rank) {
      scores[order[rank]] = static_cast<float>(rank) / static_cast<float>(lag_size_);
    }
  }

  /// Softmax over a partition of each row's standard deviation over its channels, scaled by the next partition.
  void weigh(const LayerView& layer, Rows which, std::int64_t h, std::int64_t first, float* weights) const {
    const std::int64_t d = layer.block.config.head_dim;
    const auto channels = static_cast<std::size_t>(d);
    AlignedVector<float> rows(static_cast<std::size_t>(2 * lag_size_ * d));
    if (which == Rows::keys) {
      layer.head(h).keys_as_float(first, 2 * lag_size_, rows.data());
    } else {
      layer.head(h).values_as_float(first, 2 * lag_size_, rows.data());
    }
    std::vector<float> least(channels);
    std::vector<float> largest(channels);
    channel_range(rows.data() + lag_size_ * d, lag_size_, d, least.data(), largest.data());
    std::vector<float> inverse(channels);
    for (std::size_t c = 0; c < channels; ++c) {
      // A channel that does not vary there says nothing.
      inverse[c] = largest[c] > least[c] ? 1 / (largest[c] - least[c]) : 0;
    }
    const std::vector<float> ones(channels, 1.0f);
    for (std::int64_t j = 0; j < lag_size_; ++j) {
      const std::span<float> row(rows.data() + j * d, channels);
      for (std::size_t c = 0; c < channels; ++c) row[c] = (row[c] - least[c]) * inverse[c];
      const float mean = dot(row, ones) / static_cast<float>(d);
      for (float& value : row) value -= mean;
      weights[j] = std::sqrt(dot(row, row) / static_cast<float>(std::max<std::int64_t>(1, d - 1)));
    }
    const float sum = exp_shifted(weights, lag_size_, max_value(weights, lag_size_));
    scale(weights, lag_size_, 1 / sum);
  }

  std::int64_t n_sink_ = 4;
  std::int64_t lag_size_ = 128;
  bool cross_scoring_ = false;
};

}  // namespace

const PressEntry kLagKVPress = {
    "lagkv",
    "keeps the tokens that differ most from the next partition",
    "https://arxiv.org/abs/2504.04704",
    "keys, values",
    make_press<LagKV>,
    "Tokens are compared with the next partition of lag_size tokens. A token that differs from it carries information "
    "that is not repeated. No query is needed, and every partition keeps the same share.",
    "σ_j = std over channels of (x_j - min)/(max - min), minimum and maximum of each channel over the next partition; "
    "s_j = rank within the partition of softmax(σ) of keys plus softmax(σ) of values; the first n_sink, the last whole "
    "partition and the tokens after it are kept",
    "When later questions are unknown and evidence may be anywhere in the text."};

}  // namespace kvpress
