// From the last hidden states to losses: logits are made for some rows and some words at a time, which stay in cache,
// and never held for a whole text (8,192 tokens x 50,304 words would be 1.6 GB).
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {

/// Rows whose logits are made at a time: enough that reading and decoding the output weights costs little.
inline constexpr std::int64_t kOutputRows = 1024;

/// out = head(hidden), hidden being float32 rows after the final norm.
void output_logits(Matrix<const float> hidden, const OutputHead& head, Matrix<float> out);

/// nll[i] = -log softmax(head(hidden[i]))[targets[i]], in nats; log_sums[i] = log of the softmax's denominator, unless
/// empty. Both are NaN for a row with a logit that is not finite.
void output_cross_entropy(Matrix<const float> hidden, const OutputHead& head, std::span<const std::int32_t> targets,
                          std::span<float> nll, std::span<float> log_sums = {});

/// Hidden states with the log_sums that output_cross_entropy() gave for them.
struct ScoredStates {
  Matrix<const float> hidden;
  std::span<const float> log_sums;
};

/// kl[i] and same_top[i] of ComparedRows for the logits of two matrices of hidden states. kl[i] is NaN for a row with a
/// logit that is not finite.
void output_compare(const ScoredStates& full, const ScoredStates& compressed, const OutputHead& head,
                    std::span<float> kl, std::span<std::uint8_t> same_top);

}  // namespace kvpress
