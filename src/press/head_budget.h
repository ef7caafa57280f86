// One budget for all heads of a layer.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// How many entries each head keeps when the n_kept x n_heads best of the layer stay, but the best of each head, at
/// least 1 and `safe_share` of n_kept, stay in any case (AdaKV, https://arxiv.org/abs/2407.11550). With a share of 0
/// nothing is safe. The entries are then the best of each head.
std::vector<std::int64_t> shared_budget(const Scores& scores, std::int64_t n_kept, double safe_share);

}  // namespace kvpress
