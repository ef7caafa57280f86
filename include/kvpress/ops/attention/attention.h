// Attention over a ragged cache: every KV head may hold another number of tokens. Blocked with an online softmax
// (FlashAttention, https://arxiv.org/abs/2205.14135): no matrix of tokens x tokens is ever held.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/ops/attention/quantized_kv.h"
#include "kvpress/ops/matrix.h"

namespace kvpress {

/// The keys and values that one KV head holds: n x head_dim each, contiguous, of the cache's type; the oldest of them
/// may be quantized. Keys may be stored without some channels, which count as 0: those of the first n_thin that are not
/// quantized, and of some that are.
struct HeadKV {
  const void* keys = nullptr;    ///< [n - older.n - n_thin, head_dim]
  const void* values = nullptr;  ///< [n - older.n, head_dim]
  std::int64_t n = 0;
  const void* thin_keys = nullptr;  ///< [n_thin, channels.size()]
  std::int64_t n_thin = 0;
  std::span<const std::int32_t> channels = {};  ///< those stored, ascending
  QuantizedKV older = {};                       ///< the first older.n
};

/// Entries [first, first + n) of a head in float32, [n, head_dim], whatever they are stored as; `type` is the cache's.
void keys_to_float(const HeadKV& kv, DType type, std::int64_t head_dim, std::int64_t first, std::int64_t n, float* out);
void values_to_float(const HeadKV& kv, DType type, std::int64_t head_dim, std::int64_t first, std::int64_t n,
                     float* out);

/// One attention of a block of n_new tokens whose keys and values already stand last in the cache. Query i (of n_new)
/// sees the first n - n_new + i + 1 entries of its KV head, or of these those from first_seen on. Query head h belongs
/// to KV head h / (n_heads / n_kv_heads).
struct AttentionArgs {
  const float* queries = nullptr;  ///< [n_new, n_heads, head_dim], after RoPE
  std::int64_t n_new = 0;
  std::int64_t n_heads = 0;
  std::int64_t head_dim = 0;
  float scale = 1.0f;          ///< 1 / sqrt(head_dim)
  std::span<const HeadKV> kv;  ///< one per KV head
  DType kv_type = DType::f32;
  float* log_sum_exp = nullptr;  ///< out, [n_heads, n_new]: log of each softmax's denominator; null if not wanted
  /// Out: added to [h][j] is the weight that entry j of KV head h got from every query of the block, averaged over the
  /// query heads of the group. Each row has kv[h].n values; empty if not wanted.
  std::span<float* const> column_sums = {};
  /// [h][i]: query i of KV head h's group sees no entry before this one; empty: all see from entry 0 on. Never falls
  /// with i, and each query sees one entry at least. For windows and, in the same way, for whoever wants a query to
  /// read the newer part of a head only: a range may begin elsewhere in each head, and blocks that no query sees are
  /// not read. Taken by all functions here.
  std::span<const std::int32_t* const> first_seen = {};
  float soft_cap = 0;  ///< above 0: scores, scaled, become soft_cap * tanh(score / soft_cap). Taken by all, too
};

/// out: [n_new, n_heads * head_dim], float32 or bfloat16. Uses every thread.
void attention(const AttentionArgs& args, const Activations& out);

/// The definition, in plain loops over float32: the oracle of the tests. Same results within rounding.
void attention_plain(const AttentionArgs& args, const Activations& out);

/// A second pass that adds, to sums[h][j] of KV head h, the weight that entry j got from every query of the block,
/// averaged over the query heads of the group. `args.log_sum_exp` is an input here. sums[h] has kv[h].n values.
void attention_column_sums(const AttentionArgs& args, std::span<float* const> sums);

/// Fills args.log_sum_exp alone: the softmax denominators without the attention.
void attention_log_sum_exp(const AttentionArgs& args);

/// maxima[h][j], for j < maxima[h].size() <= kv[h].n: the largest weight that entry j got from any query of the block
/// and any query head of the group, 0 where no query saw it. With `row_factors` [n_new], each query's weights are
/// multiplied by its factor (above 0) first. `args.log_sum_exp` is an input here.
void attention_column_maxima(const AttentionArgs& args, const float* row_factors,
                             std::span<const std::span<float>> maxima);

/// weights[h][j], for j < kv[h].n: the softmax weight of entry j, averaged over the n_new queries of the block and the
/// query heads of the group. For the few queries of an observation window. `factors`, [n_kv_heads, n_new] and above 0,
/// multiply the weights of each query; without any they are 1.
void attention_mean_weights(const AttentionArgs& args, std::span<float* const> weights,
                            std::span<const float> factors = {});

}  // namespace kvpress
