// CapKV (https://arxiv.org/abs/2604.25975): the tokens that carry most of the capacity of attention's output stay.
//   A = I + sum over j of (w_j + epsilon) v_j v_j',   s_j = w_j v_j' A^-1 v_j,   w_j = exp(tau cos(mu, k_j)),
// mu the mean query turned to the positions ahead.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/press_state.h"
#include "ops/rowwise.h"
#include "press/entries.h"
#include "press/kit/quadratic_forms.h"
#include "press/kit/query_statistics.h"

namespace kvpress {
namespace {

class Cap : public Scorer<Cap> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.real("tau", tau_, 0, "weight of the similarity of key and mean query");
    visitor.integer("n_future_positions", n_future_positions_, 1, "future positions that queries are averaged over");
    visitor.integer("n_sink", n_sink_, 0, "first tokens that are always kept; their queries are ignored");
    visitor.real("epsilon", epsilon_, 0, "added to each weight in the capacity matrix");
  }
  PressNeeds needs() const override { return {.every_block = true}; }

  void visit_state(StateVisitor& visitor) override {
    visitor.layers(statistics_, [&](QueryStatistics& it) { it.visit_state(visitor); });
  }

  void observe(const LayerView& layer) override {
    const auto l = static_cast<std::size_t>(layer.block.layer);
    if (statistics_.size() <= l) statistics_.resize(l + 1);
    statistics_[l].add(layer.block, n_sink_, false);
  }

  void score(const LayerView& layer, Scores& scores) override {
    fill_weights(layer);
    GramMatrices capacity(layer.block.config.n_heads, layer.longest(), layer.block.config.head_dim);
    fill_capacity(layer, capacity);
    std::vector<AlignedVector<float>> factors(weights_.size());
    parallel_for(layer.block.config.n_heads, [&](std::int64_t h) { factors[h] = capacity.inverse_factor(h, 1); });
    weigh_leverage(layer, factors, scores);

    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      std::fill_n(scores[h].begin(), n_before(layer.head(h), n_sink_), 0.0f);
    }
    const float forced = above_all(scores);  // of scores that are not negative
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      std::fill_n(scores[h].begin(), n_before(layer.head(h), n_sink_), forced);
    }
  }

 private:
  /// weights_[query head][entry]: 1 where key and mean query are most alike, 0 for sinks.
  void fill_weights(const LayerView& layer) {
    const ModelConfig& config = layer.block.config;
    const auto d = static_cast<std::size_t>(config.head_dim);
    const std::int64_t group = config.group_size();
    const QueryStatistics& seen = statistics_[layer.block.layer];
    const std::vector<AverageRotation> rotations = rotations_ahead(layer, n_future_positions_);
    std::vector<std::vector<float>> directions;
    weights_.resize(static_cast<std::size_t>(config.n_heads));
    for (std::int64_t h = 0; h < config.n_heads; ++h) {
      std::vector<float> direction = rotations[h / group].mean(seen.mean(h));
      const float inverse = 1 / std::max(std::sqrt(dot(direction, direction)), 1e-12f);
      for (float& value : direction) value *= inverse;
      directions.push_back(std::move(direction));
      weights_[h].resize(static_cast<std::size_t>(layer.head(h / group).size()));
    }
    for_each_stretch(layer, Rows::keys,
                     [&](std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* keys) {
                       for (std::int64_t j = 0; j < n; ++j) {
                         const std::span<const float> key(keys + static_cast<std::size_t>(j) * d, d);
                         const float inverse = 1 / std::max(std::sqrt(dot(key, key)), 1e-12f);
                         for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
                           const float likeness = dot(key, directions[h]) * inverse;
                           weights_[h][first + j] = static_cast<float>(tau_) * std::clamp(likeness, -1.0f, 1.0f);
                         }
                       }
                     });
    parallel_for(config.n_heads, [&](std::int64_t h) {
      auto& row = weights_[h];
      const std::int64_t first = n_before(layer.head(h / group), n_sink_);
      std::fill_n(row.begin(), first, 0.0f);
      const std::int64_t n = static_cast<std::int64_t>(row.size()) - first;
      if (n > 0) exp_shifted(row.data() + first, n, max_value(row.data() + first, n));
    });
  }

  /// Sums of (w_j + epsilon) v_j v_j' of each query head, sinks left out.
  void fill_capacity(const LayerView& layer, GramMatrices& capacity) const {
    const std::int64_t d = layer.block.config.head_dim;
    const std::int64_t group = layer.block.config.group_size();
    parallel_for(layer.n_kv_heads() * capacity.n_parts(), [&](std::int64_t item) {
      const KVHead& head = layer.head(item / capacity.n_parts());
      const std::int64_t part = item % capacity.n_parts();
      const std::int64_t end = std::min(head.size(), (part + 1) * capacity.rows_of_part());
      std::int64_t first = std::max(part * capacity.rows_of_part(), n_before(head, n_sink_));
      constexpr std::int64_t kRows = 512;
      AlignedVector<float> values(static_cast<std::size_t>(kRows * d));
      AlignedVector<float> scaled(static_cast<std::size_t>(kRows * d));
      for (; first < end; first += kRows) {
        const std::int64_t n = std::min(kRows, end - first);
        head.values_as_float(first, n, values.data());
        for (std::int64_t g = 0; g < group; ++g) {
          const std::int64_t h = item / capacity.n_parts() * group + g;
          const float* weights = weights_[h].data() + first;
          for (std::int64_t j = 0; j < n; ++j) {
            const float root = std::sqrt(weights[j] + static_cast<float>(epsilon_));
            for (std::int64_t c = 0; c < d; ++c) scaled.data()[j * d + c] = values.data()[j * d + c] * root;
          }
          capacity.add(h, part, scaled.data(), n);
        }
      }
    });
  }

  /// w_j v_j' A^-1 v_j, averaged over the group.
  void weigh_leverage(const LayerView& layer, const std::vector<AlignedVector<float>>& factors, Scores& scores) const {
    const std::int64_t d = layer.block.config.head_dim;
    const std::int64_t group = layer.block.config.group_size();
    for_each_stretch(layer, Rows::values,
                     [&](std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* values) {
                       float* row = scores[kv_head].data() + first;
                       std::fill_n(row, n, 0.0f);
                       std::vector<float> forms(static_cast<std::size_t>(n));
                       for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
                         quadratic_forms(values, n, d, factors[h].data(), forms.data());
                         const float* weights = weights_[h].data() + first;
                         for (std::int64_t j = 0; j < n; ++j) {
                           row[j] += weights[j] * forms[j] / static_cast<float>(group);
                         }
                       }
                     });
  }

  double tau_ = 5.0;
  std::int64_t n_future_positions_ = 512;
  std::int64_t n_sink_ = 4;
  double epsilon_ = 1e-6;
  std::vector<QueryStatistics> statistics_;  // one a layer
  std::vector<AlignedVector<float>> weights_;
};

}  // namespace

const PressEntry kCapPress = {
    "cap",
    "keeps the tokens whose values add most to the capacity of attention",
    "https://arxiv.org/abs/2604.25975",
    "keys, values, mean of all queries",
    make_press<Cap>,
    "The output of attention is limited by the values it holds. The score of a token is the capacity that its value "
    "adds to the others, weighted by the similarity of its key to the mean query, rotated to future positions.",
    "w_j = exp(tau·cos(μ, k_j)), divided by the largest; s_j = w_j·v_jᵀ(I + sum over i of (w_i + epsilon) v_i "
    "v_iᵀ)⁻¹v_j, mean over the group; the first n_sink are kept",
    "When the question is unknown and many values are similar."};

}  // namespace kvpress
