#include "press/kit/layer_part.h"

#include <algorithm>

namespace kvpress {

std::vector<KVHead> empty_heads(const LayerView& whole) {
  std::vector<KVHead> heads;
  for (std::int64_t h = 0; h < whole.n_kv_heads(); ++h) heads.emplace_back(whole.block.cache.shape());
  return heads;
}

LayerPart::LayerPart(const LayerView& whole, std::vector<KVHead>& heads)
    : whole_(whole), block_(whole.block), view{block_, whole.budget} {
  view.recent_queries = whole.recent_queries;
  view.first_carried = whole.first_carried;
  view.rights = whole.rights;
  view.part = &heads;
}

void LayerPart::cut(std::int64_t first, std::int64_t end, std::int64_t recent_queries, std::int64_t first_query) {
  const AttentionBlock& newest = whole_.block;
  const std::int64_t row = first - newest.first_position;
  block_.first_position = first;
  block_.n_new = end - first;
  block_.hidden = newest.hidden.block(row, block_.n_new);
  block_.queries = newest.queries.block(row, block_.n_new);
  block_.queries_before_rope = newest.queries_before_rope.block(row, block_.n_new);
  block_.log_sum_exp = nullptr;  // of whole rows, by heads: no part of it stands in one piece
  const std::int64_t n_recent = std::min(recent_queries, end - std::max(first_query, newest.first_position));
  view.recent_queries = newest.queries_before_rope.block(end - n_recent - newest.first_position, n_recent);
  view.budget.n_seen = end;
}

}  // namespace kvpress
