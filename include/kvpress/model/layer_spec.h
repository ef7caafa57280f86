// What one layer of a decoder is made of. Layers of a model may differ. All that is described here is either carried
// out by the forward pass or refused by check_supported() (config.h).
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "kvpress/ops/product/linear.h"

namespace kvpress {

enum class NormKind : std::uint8_t {
  layer_norm,        ///< with a bias
  rms_norm,          ///< without
  rms_norm_plus_one  ///< RMSNorm by 1 + w, where w is what the file has; weights held are 1 + w
};

/// Where attention and feed-forward f have their norms, in x + f(x).
enum class NormPlace : std::uint8_t {
  before,  ///< x + f(norm(x))
  after,   ///< x + norm(f(x))
  both     ///< x + norm'(f(norm(x)))
};

struct BiasSpec {
  bool query = false, key = false, value = false;
  bool attention_out = false;
  bool mlp_in = false, mlp_out = false;  ///< mlp_in: of the gate as well
  bool in_qkv() const { return query || key || value; }
  bool operator==(const BiasSpec&) const = default;
};

/// Rotary positions; without frequencies the layer has none.
struct RopeSpec {
  /// rotary_dim() / 2 of them: base, share of the channels and scaling are worked in.
  std::vector<float> inverse_frequencies;
  /// Of the channels that turn, in queries and keys (YaRN, LongRoPE). They have it from when they are made: turning
  /// them later is a pure turn.
  float attention_factor = 1.0f;
  std::int64_t rotary_dim() const { return 2 * static_cast<std::int64_t>(inverse_frequencies.size()); }
  bool operator==(const RopeSpec&) const = default;
};

/// Queries grow with their position, so that attention stays as sharp over a longer text (Llama 4, Ministral 3). They
/// have it from when they are made, as RopeSpec::attention_factor.
struct QueryGrowth {
  float beta = 0;            ///< 0: they do not
  std::int64_t context = 0;  ///< they are the same so far
  float factor(std::int64_t position) const {
    if (beta == 0) return 1.0f;
    return static_cast<float>(1 + static_cast<double>(beta) * std::log1p(static_cast<double>(position / context)));
  }
  bool operator==(const QueryGrowth&) const = default;
};

enum class FeedForwardKind : std::uint8_t { dense, experts };

/// The router of a layer with experts: softmax over n logits, of which the n_used largest are taken.
struct ExpertSpec {
  std::int64_t n = 0;
  std::int64_t n_used = 0;
  bool normalized = true;  ///< the weights of the chosen sum to 1: those of a softmax over them alone
  bool router_bias = false;
};

struct LayerSpec {
  NormKind norm = NormKind::layer_norm;
  NormPlace norm_place = NormPlace::before;
  float norm_eps = 1e-5f;
  std::optional<NormKind> query_norm, key_norm;  ///< of each head by itself, before RoPE
  bool norms_heads_together = false;             ///< query_norm and key_norm are over all heads at once (OLMo 2)
  BiasSpec biases;
  RopeSpec rope;
  QueryGrowth query_growth;
  float attention_scale = 0;     ///< of scores; 0: 1 / sqrt(head_dim)
  std::int64_t window = 0;       ///< a token sees so many places of the text, its own included; 0: all
  float attention_soft_cap = 0;  ///< scores become cap * tanh(score / cap); 0: they do not
  bool attention_sinks = false;  ///< each softmax has one more, learned, term in its denominator
  bool parallel = false;         ///< attention and feed-forward read the same input (GPT-NeoX)
  FeedForwardKind feed_forward = FeedForwardKind::dense;
  std::int64_t intermediate_size = 0;  ///< of each expert
  bool gated = false;                  ///< feed-forward: activation(gate) * up
  Activation activation = Activation::none;
  float gate_limit = 0;  ///< above 0: gate * sigmoid(1.702 gate) * (up + 1), gate and up no larger than this (gpt-oss)

  bool normed_before() const { return norm_place != NormPlace::after; }
  bool normed_after() const { return norm_place != NormPlace::before; }
  bool operator==(const LayerSpec&) const = default;
};

}  // namespace kvpress
