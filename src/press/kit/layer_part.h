// A stretch of a layer that stands for the whole of it, so that a press can score a part of a text as if that were all
// there is (chunk) or all there is so far (block).
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Heads without entries, one a KV head of the layer: append to them what the part shall hold.
std::vector<KVHead> empty_heads(const LayerView& whole);

/// A layer whose heads are `heads`, and else the whole one. Points to both and into itself: not to be moved.
class LayerPart {
 public:
  LayerPart(const LayerView& whole, std::vector<KVHead>& heads);
  LayerPart(const LayerPart&) = delete;
  LayerPart& operator=(const LayerPart&) = delete;

  /// Cuts what is known of the newest block to the positions [first, end), of which it must hold every one; the text
  /// then ends before `end`. `recent_queries`: the most that shall be left of the last queries, none from before
  /// `first_query`.
  void cut(std::int64_t first, std::int64_t end, std::int64_t recent_queries, std::int64_t first_query);

 private:
  const LayerView& whole_;
  AttentionBlock block_;

 public:
  LayerView view;  ///< the part as a layer; its budget is the whole layer's but for n_seen
};

}  // namespace kvpress
