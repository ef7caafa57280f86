// A part of a layer, shown to a press as a whole layer. chunk and block use it to score a part of a text.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Empty heads, one per KV head of the layer. The caller appends the entries of the part.
std::vector<KVHead> empty_heads(const LayerView& whole);

/// A layer with other heads. Keeps references to `whole` and `heads`, and pointers to itself: cannot be moved.
class LayerPart {
 public:
  LayerPart(const LayerView& whole, std::vector<KVHead>& heads);
  LayerPart(const LayerPart&) = delete;
  LayerPart& operator=(const LayerPart&) = delete;

  /// Cuts the newest block to the positions [first, end), which it must contain; the text then ends before `end`. Keeps
  /// at most recent_queries of the last queries, and none before position first_query.
  void cut(std::int64_t first, std::int64_t end, std::int64_t recent_queries, std::int64_t first_query);

 private:
  const LayerView& whole_;
  AttentionBlock block_;

 public:
  LayerView view;  ///< the part as a layer; its budget differs from that of the layer in n_seen
};

}  // namespace kvpress
