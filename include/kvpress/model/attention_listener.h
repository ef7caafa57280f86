// The one hook of the forward pass: whoever compresses the cache is called right after each layer's attention, when the
// block's tokens have seen the full cache and the next ones have not come yet. To hold less, a layer passes over a long
// block in parts, unless the listener wants it whole.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/cache/kv_cache.h"
#include "kvpress/model/config.h"
#include "kvpress/ops/matrix.h"
#include "kvpress/ops/rope.h"

namespace kvpress {

struct LayerWeights;

/// One layer's attention over one block of new tokens, or a part of it. Views: valid during the call only.
struct AttentionBlock {
  std::int64_t layer = 0;
  std::int64_t first_position = 0;  ///< of the block's first token
  std::int64_t n_new = 0;           ///< tokens of the block; they stand last in every head of the cache once is_last
  const ModelConfig& config;
  const LayerWeights& weights;
  const Rope& rope;             ///< prepared for every position of the block
  Activations hidden;           ///< [n_new, hidden_size], what attention read: after the layer's norm, if it has one
  Matrix<const float> queries;  ///< [n_new, n_heads * head_dim], after RoPE
  /// The same before they are turned, but after a norm of queries, with RopeSpec::attention_factor and QueryGrowth.
  Matrix<const float> queries_before_rope;
  const float* log_sum_exp = nullptr;  ///< [n_heads, n_new], when the listener wants it, else null
  KVCache& cache;
  bool is_last = true;  ///< not a part that others follow: all that the pass adds to this layer is there

  const LayerSpec& spec() const { return config.layer(layer); }
};

/// What a layer has made of a block. Views: valid during the call only.
struct LayerOutput {
  std::int64_t layer = 0;
  std::int64_t first_position = 0;       ///< of the block's first token
  Matrix<const float> residual;          ///< [n_new, hidden_size], the stream as it leaves the layer
  Matrix<const float> attention_output;  ///< [n_new, hidden_size], what attention added to it; no rows if not wanted
};

class AttentionListener {
 public:
  virtual ~AttentionListener() = default;
  /// Whether attention shall leave each softmax's denominator in the block.
  virtual bool wants_log_sum_exp() const { return false; }
  /// Whether the block shall come in one piece, however long.
  virtual bool wants_whole_block() const { return true; }
  /// Where attention shall add up what each entry gets, as AttentionArgs::column_sums says; empty if not wanted. Called
  /// once a layer, when the block's entries have their places in the cache.
  virtual std::span<float* const> column_sums(std::int64_t /*layer*/, KVCache& /*cache*/) { return {}; }
  virtual void after_attention(const AttentionBlock& block) = 0;
  /// Whether after_layer() shall be shown what attention adds to the stream, after its output product and norm.
  virtual bool wants_attention_output() const { return false; }
  /// Called when a layer is done with the whole block.
  virtual void after_layer(const LayerOutput& /*output*/) {}
};

}  // namespace kvpress
