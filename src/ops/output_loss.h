// From the last hidden states to losses: logits are made for a few rows at a time and never held for a whole text
// (8,192 tokens x 50,304 words would be 1.6 GB).
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/ops/linear.h"
#include "kvpress/ops/matrix.h"

namespace kvpress {

/// Rows whose logits are held at a time.
inline constexpr std::int64_t kOutputRows = 64;

/// out = head(hidden), hidden being float32 rows after the final norm, of whatever type the head takes.
void output_logits(Matrix<const float> hidden, const Linear& head, Matrix<float> out);

/// nll[i] = -log softmax(head(hidden[i]))[targets[i]], in nats.
void output_cross_entropy(Matrix<const float> hidden, const Linear& head, std::span<const std::int32_t> targets,
                          std::span<float> nll);

/// kl[i] and same_top[i] of compare_logits for the logits of two matrices of hidden states.
void output_compare(Matrix<const float> full, Matrix<const float> compressed, const Linear& head, std::span<float> kl,
                    std::span<std::uint8_t> same_top);

}  // namespace kvpress
