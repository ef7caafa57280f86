// One budget for all heads of a layer.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// How many of its best entries a head keeps in any case: `safe_share` of n_kept, at least 1, but none for a share of
/// 0.
std::int64_t safe_entries(std::int64_t n_kept, double safe_share);

/// How many entries each head keeps when the n_kept x n_heads best of the layer stay, but the
/// safe_entries() of each head stay in any case (AdaKV, https://arxiv.org/abs/2407.11550). The entries are then the
/// best of each head.
std::vector<std::int64_t> shared_budget(const Scores& scores, std::int64_t n_kept, double safe_share);

}  // namespace kvpress
