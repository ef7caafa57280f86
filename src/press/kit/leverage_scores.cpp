#include "press/kit/leverage_scores.h"

#include <algorithm>
#include <cmath>

#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "press/kit/normals.h"
#include "press/kit/quadratic_forms.h"

namespace kvpress {
namespace {

constexpr double kRidge = 1e-2;

}  // namespace

const AlignedVector<float>& LeverageScores::projections(const LayerView& layer, std::int64_t sketch_dimension) {
  const auto l = static_cast<std::size_t>(layer.block.layer);
  if (projections_.size() <= l) projections_.resize(l + 1);
  AlignedVector<float>& drawn = projections_[l];
  if (drawn.empty()) {
    drawn.resize(static_cast<std::size_t>(layer.n_kv_heads() * layer.block.config.head_dim * sketch_dimension));
    fill_standard_normals(layer_seed(layer), drawn);
    for (float& value : drawn) value /= std::sqrt(static_cast<float>(sketch_dimension));
  }
  return drawn;
}

void LeverageScores::fill(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges,
                          Scores& scores) {
  sketch(layer, sketch_dimension, ranges);
  centre(sketch_dimension);
  std::int64_t longest = 0;
  for (const EntryRange& range : ranges) longest = std::max(longest, range.size());
  GramMatrices grams(layer.n_kv_heads(), longest, sketch_dimension);
  const auto for_each_part = [&](auto&& body) {
    parallel_for(layer.n_kv_heads() * grams.n_parts(), [&](std::int64_t item) {
      const std::int64_t h = item / grams.n_parts();
      const std::int64_t part = item % grams.n_parts();
      const EntryRange& range = ranges[h];
      const std::int64_t first = part * grams.rows_of_part();
      const std::int64_t n = std::min(grams.rows_of_part(), range.size() - first);
      if (n > 0) body(h, part, first, n, sketched_[h].data() + first * sketch_dimension);
    });
  };
  for_each_part([&](std::int64_t h, std::int64_t part, std::int64_t, std::int64_t n, const float* rows) {
    grams.add(h, part, rows, n);
  });
  std::vector<AlignedVector<float>> factors(ranges.size());
  parallel_for(layer.n_kv_heads(), [&](std::int64_t h) { factors[h] = grams.inverse_factor(h, kRidge); });
  for_each_part([&](std::int64_t h, std::int64_t, std::int64_t first, std::int64_t n, const float* rows) {
    const auto at = static_cast<std::size_t>(h);
    quadratic_forms(rows, n, sketch_dimension, factors[at].data(), scores[at].data() + ranges[at].begin + first);
  });
  standardize(scores, ranges);
}

void LeverageScores::sketch(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges) {
  const AlignedVector<float>& drawn = projections(layer, sketch_dimension);
  const std::int64_t d = layer.block.config.head_dim;
  const RopeSpec& rope = layer.block.spec().rope;
  sketched_.resize(ranges.size());
  for (std::size_t h = 0; h < ranges.size(); ++h) {
    sketched_[h].resize(static_cast<std::size_t>(ranges[h].size() * sketch_dimension));
  }
  constexpr std::int64_t kRows = 512;
  const std::int64_t per_head = (layer.longest() + kRows - 1) / kRows;
  parallel_for(layer.n_kv_heads() * per_head, [&](std::int64_t item) {
    const std::int64_t h = item / per_head;
    const EntryRange& range = ranges[h];
    const std::int64_t first = item % per_head * kRows;
    const std::int64_t n = std::min(kRows, range.size() - first);
    if (n <= 0) return;
    AlignedVector<float> keys(static_cast<std::size_t>(n * d));
    const KVHead& head = layer.head(h);
    head.keys_as_float(range.begin + first, n, keys.data());
    for (std::int64_t j = 0; j < n; ++j) {
      float* const key = keys.data() + j * d;
      layer.block.rope.undo(key, head.rope_position(range.begin + first + j));
      // As the product of weights made it.
      if (rope.attention_factor != 1.0f) {
        for (std::int64_t c = 0; c < rope.rotary_dim(); ++c) key[c] /= rope.attention_factor;
      }
    }
    gemm(false, false, n, sketch_dimension, d, 1.0f, keys.data(), d, drawn.data() + h * d * sketch_dimension,
         sketch_dimension, 0.0f, sketched_[h].data() + first * sketch_dimension, sketch_dimension);
  });
}

/// The sketch is linear: what is taken off after it is the sketch of the keys' mean.
void LeverageScores::centre(std::int64_t sketch_dimension) {
  const auto k = static_cast<std::size_t>(sketch_dimension);
  parallel_for(static_cast<std::int64_t>(sketched_.size()), [&](std::int64_t h) {
    AlignedVector<float>& rows = sketched_[h];
    const std::size_t n = rows.size() / k;
    std::vector<double> sum(k, 0.0);
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t c = 0; c < k; ++c) sum[c] += rows[j * k + c];
    }
    std::vector<float> mean(k);
    for (std::size_t c = 0; c < k; ++c) mean[c] = static_cast<float>(sum[c] / static_cast<double>(n));
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t c = 0; c < k; ++c) rows[j * k + c] -= mean[c];
    }
  });
}

}  // namespace kvpress
