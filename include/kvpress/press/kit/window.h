// The attention that the newest queries pay to what the cache holds: what SnapKV and TOVA score by.
#pragma once

#include <cstdint>

#include "kvpress/press/press.h"

namespace kvpress {

/// How the rows of a window, one a query, count in their mean.
enum class WindowRows : std::uint8_t {
  alike,
  by_entries_before  ///< times the number of entries before the query's own: a weight of 1/n counts as 1
};

/// scores[h][j] = softmax weight of entry j, averaged over the last `window` queries and the query heads of the group;
/// each query sees the entries up to its own. Uses fewer queries where not so many have been seen, or where the tokens
/// of the older ones have been evicted. Returns the number used: the last so many entries are the queries' own.
std::int64_t window_attention(const LayerView& layer, std::int64_t window, Scores& scores,
                              WindowRows rows = WindowRows::alike);

}  // namespace kvpress
