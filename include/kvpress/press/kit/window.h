// The attention of the last queries to the entries of the cache. SnapKV (https://arxiv.org/abs/2404.14469) and TOVA
// (https://arxiv.org/abs/2401.06104) use it as score.
#pragma once

#include <cstdint>

#include "kvpress/press/press.h"

namespace kvpress {

/// The weights of the queries of a window in the mean.
enum class WindowRows : std::uint8_t {
  alike,
  by_entries_before  ///< each row is multiplied by the number of entries before the query's own
};

/// scores[h][j] = softmax weight of entry j, mean over the last `window` queries and the query heads of the group. Each
/// query sees the entries up to its own. Uses fewer queries if fewer were seen or if the tokens of older queries were
/// evicted. Returns the number of queries used; the last entries of each head, as many, belong to these queries.
std::int64_t window_attention(const LayerView& layer, std::int64_t window, Scores& scores,
                              WindowRows rows = WindowRows::alike);

}  // namespace kvpress
