// Attention looked at once more in layers with sinks: each query head's softmax has a learned term in its denominator,
// which belongs to no entry.
#pragma once

#include <span>

#include "kvpress/ops/attention/attention.h"

namespace kvpress {

/// Adds a layer's sinks, one a query head, to the logarithms of softmax denominators, [n_heads, n_new]. Without sinks
/// it changes nothing.
void add_sinks(std::span<const float> sinks, std::span<float> log_sum_exp);

/// attention_mean_weights() with the layer's sinks; without any it is the same.
void mean_weights_with_sinks(const AttentionArgs& args, std::span<const float> sinks, std::span<float* const> weights,
                             std::span<const float> factors = {});

}  // namespace kvpress
