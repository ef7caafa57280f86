// One budget for all heads of all layers.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// What the budget leaves of n_sequences sequences that each got every token of the text: those of all the layers and
/// heads that share it. `pruned_first`: whether the number that goes is rounded down (KVzip), or that which stays.
std::int64_t entries_left(const BudgetView& budget, std::int64_t n_sequences, bool pruned_first);

/// A float that the press carries beside every entry, as scores[layer][kv_head][entry].
std::vector<Scores> carried_scores(const ContextView& context, std::int64_t channel);

/// Shows scores to the watcher.
void tell(const ContextView& context, const std::vector<Scores>& scores);

/// Keeps the n_left best entries of all heads of all layers and evicts the rest. Nothing is safe: a head may lose all
/// it has. scores[layer][kv_head][entry].
void keep_best_of_all(const ContextView& context, const std::vector<Scores>& scores, std::int64_t n_left);

/// KVzip's choice: as above by the budget, or (layerwise) the same share of each layer.
void keep_best(const ContextView& context, const std::vector<Scores>& scores, bool layerwise);

}  // namespace kvpress
