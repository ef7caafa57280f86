// The locality of attention heads, computed from the means of their queries and keys, as kvpress 0.5.5 computes the
// patterns of DuoAttention (https://arxiv.org/abs/2410.10819) "on the fly". Let q and k be the means before RoPE and
// a_p = softmax_p(<R(P - 1) q, R(p) k> / sqrt(d)) for p = 0, ..., P - 1 = 499. The score is the mean over p of the
// cumulative sum of a, averaged over the group. It is large for heads that attend to distant tokens. The scale of
// scores and their soft cap are the layer's; sinks take no part. Heads of a layer without RoPE are all alike.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

class DuoScores {
 public:
  /// Adds the queries and keys (before RoPE) of the new tokens of a layer. They must still be in the cache: call it in
  /// observe().
  void add(const LayerView& layer);

  void visit_state(StateVisitor& visitor);

  /// [layers * KV heads], layer by layer, in (0, 1]; 0 for layers that nothing was added of.
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
