// One budget for all heads of all layers.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// The number of entries to keep in n_sequences heads that share the budget, if each has seen the whole text. With
/// `pruned_first` the number of evicted entries is rounded down (KVzip), else the number of kept ones.
std::int64_t entries_left(const BudgetView& budget, std::int64_t n_sequences, bool pruned_first);

/// The carried floats of a channel as scores[layer][kv_head][entry]. Layers that are not compressed have no rows, here
/// and in all functions below, and are left alone.
std::vector<Scores> carried_scores(const ContextView& context, std::int64_t channel);

/// Passes the scores to the watcher.
void tell(const ContextView& context, const std::vector<Scores>& scores);

/// Keeps the n_left entries with the highest scores[layer][kv_head][entry] of all layers and evicts the others. A head
/// may lose all of its entries.
void keep_best_of_all(const ContextView& context, const std::vector<Scores>& scores, std::int64_t n_left);

/// The selection of KVzip: keeps the best entries over all layers within the budget or, if layerwise, within each
/// layer.
void keep_best(const ContextView& context, const std::vector<Scores>& scores, bool layerwise);

}  // namespace kvpress
