// One budget for all heads of all layers.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// What the budget leaves of n_sequences sequences that each got every token of the text: those of all the layers and
/// heads that share it. `pruned_first`: whether the number that goes is rounded down (KVzip), or that which stays.
std::int64_t entries_left(const BudgetView& budget, std::int64_t n_sequences, bool pruned_first);

/// Keeps the best entries of all heads of all layers (layerwise: of all heads of each layer) and evicts the rest.
/// Nothing is safe: a head may lose all it has. scores[layer][kv_head][entry].
void keep_best_of_all(const ContextView& context, const std::vector<Scores>& scores, bool layerwise);

}  // namespace kvpress
