// The approximate statistical leverage of keys, as in Compactor (https://arxiv.org/abs/2507.08143, section 3.1): how
// much a key differs from the other keys of its head.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/kit/row_scores.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Keys before RoPE, minus their mean, are projected to sketch_dimension channels: x_j = Phi' (k_j - mean). Phi has
/// normally distributed numbers, drawn once per run, layer and head. The leverage is x_j' (X'X + 0.01 I)^-1 x_j. Needs
/// memory for the projected keys of one layer.
class LeverageScores {
 public:
  /// Fills the scores in the ranges, standardized over all heads. Mean and X are computed from the ranges.
  void fill(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges, Scores& scores);

 private:
  const AlignedVector<float>& projections(const LayerView& layer, std::int64_t sketch_dimension);
  void sketch(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges);
  void centre(std::int64_t sketch_dimension);

  std::vector<AlignedVector<float>> projections_;  // one a layer: [KV heads, head_dim, sketch_dimension]
  std::vector<AlignedVector<float>> sketched_;     // of the layer at hand, one a KV head: [n, sketch_dimension]
};

}  // namespace kvpress
