// A model's attention, as the kernels take it: in the forward pass and wherever a press looks at attention once more.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/model/config.h"
#include "kvpress/ops/attention/attention.h"

namespace kvpress {

/// A layer's attention: n_new rows of queries (after RoPE) over `kv`, one a KV head, which must live as long as the
/// arguments do. Without a window's bounds (AttentionArgs::first_seen).
inline AttentionArgs attention_args(const ModelConfig& config, std::int64_t layer, const float* queries,
                                    std::int64_t n_new, std::span<const HeadKV> kv, DType kv_type,
                                    float* log_sum_exp = nullptr, std::span<float* const> column_sums = {}) {
  return {queries,
          n_new,
          config.n_heads,
          config.head_dim,
          config.attention_scale(layer),
          kv,
          kv_type,
          log_sum_exp,
          column_sums,
          {},
          config.layer(layer).attention_soft_cap};
}

}  // namespace kvpress
