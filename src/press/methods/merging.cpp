// Merging: what the press inside evicts is not lost but folded into the most similar key that stays (token merging,
// https://arxiv.org/abs/2210.09461; D2O, https://arxiv.org/abs/2406.13035). For an evicted entry e and the kept entry t
// whose key has the largest cosine with its own:
//   w_e = max(cos, 0) ||v_e|| / (||v_e|| + ||v_t||),   v_t := (v_t + sum w_e v_e) / (1 + sum w_e).
#include <algorithm>
#include <cmath>
#include <vector>

#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "ops/rowwise.h"
#include "ops/topk.h"
#include "press/entries.h"

namespace kvpress {
namespace {

constexpr float kEpsilon = 1e-6f;

/// Rows of a head, gathered.
AlignedVector<float> rows_at(const KVHead& head, Rows which, std::span<const std::int32_t> indices, std::int64_t d) {
  AlignedVector<float> rows(indices.size() * static_cast<std::size_t>(d));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    float* row = rows.data() + i * static_cast<std::size_t>(d);
    if (which == Rows::keys) {
      head.keys_as_float(indices[i], 1, row);
    } else {
      head.values_as_float(indices[i], 1, row);
    }
  }
  return rows;
}

float norm(const float* row, std::int64_t d) {
  const std::span<const float> all(row, static_cast<std::size_t>(d));
  return std::sqrt(dot(all, all));
}

std::vector<std::int32_t> others(std::span<const std::int32_t> kept, std::int64_t n) {
  std::vector<std::int32_t> rest;
  auto next = kept.begin();
  for (std::int32_t j = 0; j < n; ++j) {
    if (next != kept.end() && *next == j) {
      ++next;
    } else {
      rest.push_back(j);
    }
  }
  return rest;
}

class Merging : public Wrapper<Editor<Merging>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::selection, "selects the entries to keep");
    visitor.real("similarity_threshold", similarity_threshold_, 0, 1, "minimum cosine of a pair of keys");
    visitor.real("merge_fraction", merge_fraction_, 0, 1,
                 "share of the evicted entries that is merged, the most similar first");
  }

  void compress(const LayerView& layer) override {
    const Kept kept = press_->select(layer);
    if (kept.empty()) return;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) merge(layer, h, kept[h]);
    layer.keep(kept);
  }

 private:
  /// Evicted rows that pass over the kept ones at a time.
  static constexpr std::int64_t kEvictedBlock = 64;
  static constexpr std::int64_t kKeptBlock = 512;

  void merge(const LayerView& layer, std::int64_t h, std::span<const std::int32_t> kept) {
    const KVHead& head = layer.head(h);
    const std::int64_t d = layer.block.config.head_dim;
    const std::vector<std::int32_t> evicted = others(kept, head.size());
    if (kept.empty() || evicted.empty()) return;
    find_targets(head, kept, evicted, d);
    const std::vector<std::int32_t> merged = to_merge();

    AlignedVector<float> values = rows_at(head, Rows::values, kept, d);
    AlignedVector<float> sums(values.size(), 0.0f);
    std::vector<float> weights(kept.size(), 0.0f);
    std::vector<float> value(static_cast<std::size_t>(d));
    for (const std::int32_t e : merged) {
      const std::int64_t target = targets_[e];
      head.values_as_float(evicted[e], 1, value.data());
      const float own = norm(value.data(), d);
      const float weight =
          std::max(similarities_[e], 0.0f) * own / (own + norm(values.data() + target * d, d) + kEpsilon);
      weights[target] += weight;
      for (std::int64_t c = 0; c < d; ++c) sums[target * d + c] += weight * value[c];
    }
    for (std::size_t t = 0; t < kept.size(); ++t) {
      if (weights[t] == 0) continue;
      float* row = values.data() + t * static_cast<std::size_t>(d);
      add(sums.data() + t * static_cast<std::size_t>(d), row, d);
      scale(row, d, 1.0f / (1.0f + weights[t]));
      layer.write_value(h, kept[t], row);
    }
  }

  /// similarities_[e], targets_[e]: the largest cosine of evicted key e with a kept one, and which.
  void find_targets(const KVHead& head, std::span<const std::int32_t> kept, std::span<const std::int32_t> evicted,
                    std::int64_t d) {
    const auto n_kept = static_cast<std::int64_t>(kept.size());
    const auto n_evicted = static_cast<std::int64_t>(evicted.size());
    const auto unit_rows = [&](std::span<const std::int32_t> indices) {
      AlignedVector<float> rows = rows_at(head, Rows::keys, indices, d);
      for (std::size_t i = 0; i < indices.size(); ++i) {
        float* row = rows.data() + i * static_cast<std::size_t>(d);
        scale(row, d, 1.0f / std::max(norm(row, d), kEpsilon));
      }
      return rows;
    };
    const AlignedVector<float> kept_keys = unit_rows(kept);
    similarities_.assign(evicted.size(), -2.0f);  // below every cosine
    targets_.assign(evicted.size(), 0);
    parallel_for((n_evicted + kEvictedBlock - 1) / kEvictedBlock, [&](std::int64_t item) {
      const std::int64_t first = item * kEvictedBlock;
      const std::int64_t n = std::min(kEvictedBlock, n_evicted - first);
      const AlignedVector<float> keys =
          unit_rows(evicted.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)));
      AlignedVector<float> cosines(static_cast<std::size_t>(n * kKeptBlock));
      for (std::int64_t from = 0; from < n_kept; from += kKeptBlock) {
        const std::int64_t n_block = std::min(kKeptBlock, n_kept - from);
        gemm(false, true, n, n_block, d, 1.0f, keys.data(), d, kept_keys.data() + from * d, d, 0.0f, cosines.data(),
             kKeptBlock);
        for (std::int64_t e = 0; e < n; ++e) {
          const float* row = cosines.data() + e * kKeptBlock;
          const float best = max_value(row, n_block);
          const auto at = static_cast<std::size_t>(first + e);
          if (best <= similarities_[at]) continue;
          similarities_[at] = best;
          targets_[at] = from + (std::find(row, row + n_block, best) - row);
        }
      }
    });
  }

  /// Which of the evicted are merged: the merge_fraction most similar, as many as lie above that quantile with linear
  /// interpolation, less those below the threshold.
  std::vector<std::int32_t> to_merge() const {
    const auto last = static_cast<double>(similarities_.size() - 1);
    const auto skipped = static_cast<std::int64_t>(std::ceil((1.0 - merge_fraction_) * last));
    const std::int64_t n = merge_fraction_ > 0 ? static_cast<std::int64_t>(similarities_.size()) - skipped : 0;
    std::vector<std::int32_t> merged = top_k({similarities_.data(), similarities_.size()}, n);
    std::erase_if(merged, [&](std::int32_t e) { return similarities_[e] < static_cast<float>(similarity_threshold_); });
    return merged;
  }

  double similarity_threshold_ = 0.0;
  double merge_fraction_ = 1.0;
  AlignedVector<float> similarities_;
  std::vector<std::int64_t> targets_;
};

}  // namespace

const PressEntry kMergingPress = {
    "merging",
    "merges the values of evicted entries into the most similar kept entries",
    "https://arxiv.org/abs/2210.09461",
    "needs of the inner press, keys, values",
    make_press<Merging>,
    "Eviction loses the content of a token. Here its value is merged into that of the kept token with the most similar "
    "key, which the queries for it will find.",
    "v_t := (v_t + Σ w_e v_e)/(1 + Σ w_e) over the evicted e whose nearest kept key is k_t, w_e = max(cos(k_e, k_t), "
    "0)·‖v_e‖/(‖v_e‖ + ‖v_t‖)",
    "Around any press that selects entries, if evicted content still matters on average."};

}  // namespace kvpress
