// How local a head's attention is, from the means of its queries and keys alone: the score by which kvpress 0.5.5
// computes DuoAttention's patterns "on the fly". With q and k the means before RoPE, a = softmax over p of
// <R(P - 1) q, R(p) k> / sqrt(d) for p = 0, ..., P - 1 = 499; the score is the area under the cumulated a, its mean
// over p, averaged over the group. A head that looks far back has a large area, one that looks near a small one.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

class DuoScores {
 public:
  /// Takes in the new tokens of a layer: their queries, and their keys turned back by RoPE. They must still be in the
  /// cache (observe() is the place).
  void add(const LayerView& layer);

  /// [layers * KV heads], layer by layer, in (0, 1].
  std::vector<float> scores(const ModelConfig& config) const;

 private:
  struct Sums {
    std::int64_t count = 0;
    std::vector<double> queries;  // [n_heads * head_dim]
    std::vector<double> keys;     // [n_kv_heads * head_dim]
  };
  std::vector<Sums> layers_;
};

}  // namespace kvpress
