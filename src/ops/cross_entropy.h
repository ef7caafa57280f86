// Losses over rows of logits, a block at a time: the caller never holds logits for a whole text.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/ops/matrix.h"

namespace kvpress {

/// nll[i] = -log softmax(logits[i])[targets[i]], in nats.
void cross_entropy(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll);

/// The definition, in plain loops: the oracle of the tests.
void cross_entropy_plain(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll);

/// kl[i] = KL(softmax(p[i]) || softmax(q[i])) in nats, never below 0 and 0 for equal rows; same_top[i] = 1 where both
/// have the same largest logit, else 0.
void compare_logits(Matrix<const float> p, Matrix<const float> q, std::span<float> kl,
                    std::span<std::uint8_t> same_top);

/// The index of the largest value (the first of equals).
std::int64_t argmax(const float* x, std::int64_t n);

}  // namespace kvpress
