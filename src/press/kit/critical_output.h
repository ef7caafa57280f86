// CriticalKV (https://arxiv.org/abs/2502.03805): an entry that its score alone does not settle is weighed by what its
// value adds to the layer's output. Shared by critical and critical_adakv.
#pragma once

#include <cstdint>

#include "kvpress/press/press.h"

namespace kvpress {

/// norms[h][j] = ||Wo_q v_j||_1, averaged over the query heads q of KV head h, where Wo_q are the columns of the
/// attention's output weights that read head q (biases do not count). Sized as scores are. Costs as much as the output
/// product over all entries, in the number format the model computes in.
Scores output_norms(const LayerView& layer);

/// The second stage, for one head: the n_first entries of the highest scores get a score above all others, every other
/// entry (score + epsilon) times its norm.
void weigh_by_output(std::int64_t n_first, double epsilon, const AlignedVector<float>& norms,
                     AlignedVector<float>& scores);

}  // namespace kvpress
