// How far the key of each token stands out from the others of its head: its approximate statistical leverage, one part
// of Compactor (https://arxiv.org/abs/2507.08143, section 3.1).
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"
#include "press/kit/row_scores.h"

namespace kvpress {

/// Keys before RoPE (those of the cache, turned back), less their mean, are sketched to `sketch_dimension` channels by
/// a matrix of normal numbers that each layer and head draws once a run: x_j = Phi' (k_j - mean). The leverage is x_j'
/// (X'X + 0.01 I)^-1 x_j. Memory: the sketched keys of one layer.
class LeverageScores {
 public:
  /// Fills the scores in the ranges, standardized over all heads; mean and X are those of the ranges.
  void fill(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges, Scores& scores);

 private:
  const AlignedVector<float>& projections(const LayerView& layer, std::int64_t sketch_dimension);
  void sketch(const LayerView& layer, std::int64_t sketch_dimension, const EntryRanges& ranges);
  void centre(std::int64_t sketch_dimension);

  std::vector<AlignedVector<float>> projections_;  // one a layer: [KV heads, head_dim, sketch_dimension]
  std::vector<AlignedVector<float>> sketched_;     // of the layer at hand, one a KV head: [n, sketch_dimension]
};

}  // namespace kvpress
