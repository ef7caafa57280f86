// The one hook of the forward pass: whoever compresses the cache is called right after each layer's attention, when the
// block's tokens have seen the full cache and the next ones have not come yet.
#pragma once

#include <cstdint>

#include "kvpress/cache/kv_cache.h"
#include "kvpress/model/config.h"
#include "kvpress/ops/matrix.h"
#include "kvpress/ops/rope.h"

namespace kvpress {

struct LayerWeights;

/// One layer's attention over one block of new tokens. Views: valid during the call only.
struct AttentionBlock {
  std::int64_t layer = 0;
  std::int64_t first_position = 0;  ///< of the block's first token
  std::int64_t n_new = 0;           ///< tokens of the block; they stand last in every head of the cache
  const ModelConfig& config;
  const LayerWeights& weights;
  const Rope& rope;                         ///< prepared for every position of the block
  Activations hidden;                       ///< [n_new, hidden_size], what attention read: after the layer's norm
  Matrix<const float> queries;              ///< [n_new, n_heads * head_dim], after RoPE
  Matrix<const float> queries_before_rope;  ///< the same before RoPE
  const float* log_sum_exp = nullptr;       ///< [n_heads, n_new], when the listener wants it, else null
  KVCache& cache;
};

class AttentionListener {
 public:
  virtual ~AttentionListener() = default;
  /// Whether attention shall leave each softmax's denominator in the block.
  virtual bool wants_log_sum_exp() const { return false; }
  virtual void after_attention(const AttentionBlock& block) = 0;
};

}  // namespace kvpress
