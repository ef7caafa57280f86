// Log-probabilities of tokens, from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/engine/sequence.h"
#include "kvpress/model/model.h"

namespace kvpress::serve {

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;  ///< natural logarithm of the softmax, at temperature 1, without biases and penalties
};

struct ScoredToken {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  ///< the likeliest, from the likeliest on; equals by token
};

/// The log-probability of `token`, and the `n_top` largest.
ScoredToken score_token(std::span<const float> logits, std::int32_t token, int n_top);

/// The same for rows of final hidden states: tokens[i] follows hidden row i. Logits are made for a few rows at a time.
/// Throws NotFinite, with positions counted from 0 in `tokens`, if a logit is none.
std::vector<ScoredToken> score_tokens(const Model& model, Matrix<const float> hidden,
                                      std::span<const std::int32_t> tokens, int n_top);

/// Rows whose logits score_tokens() holds at a time.
inline constexpr std::int64_t kScoredRows = 64;

}  // namespace kvpress::serve
