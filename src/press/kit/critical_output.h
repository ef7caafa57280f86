// The second stage of CriticalKV (https://arxiv.org/abs/2502.03805): scores are weighted by the contribution of the
// value to the output of the layer. Shared by critical and critical_adakv.
#pragma once

#include <cstdint>

#include "kvpress/press/press.h"

namespace kvpress {

/// norms[h][j] = ||Wo_q v_j||_1, mean over the query heads q of KV head h. Wo_q are the columns of the output
/// projection of the attention for head q; biases are ignored. Costs as much as the output projection of all entries,
/// in the number format of the model.
Scores output_norms(const LayerView& layer);

/// For one head: the n_first entries with the highest scores get a score above all others; every other entry gets
/// (score + epsilon) * norm.
void weigh_by_output(std::int64_t n_first, double epsilon, const AlignedVector<float>& norms,
                     AlignedVector<float>& scores);

}  // namespace kvpress
