// One budget for all heads of a layer, and what it is a share of.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// The tokens that the budget is a share of: of the text, or in a layer with a window of that.
std::int64_t tokens_in_sight(const LayerView& layer);

/// The number of best entries that each head always keeps: safe_share * n_kept, at least 1; 0 for a share of 0.
std::int64_t safe_entries(std::int64_t n_kept, double safe_share);

/// The number of entries that each head keeps if the n_kept * n_heads best entries of the layer are kept, and at least
/// safe_entries() per head (AdaKV, https://arxiv.org/abs/2407.11550). Each head keeps its best entries.
std::vector<std::int64_t> shared_budget(const Scores& scores, std::int64_t n_kept, double safe_share);

}  // namespace kvpress
