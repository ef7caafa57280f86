#include "kvpress/press/compressor.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/threads.h"
#include "kvpress/base/timer.h"
#include "kvpress/ops/attention.h"
#include "kvpress/ops/topk.h"

namespace kvpress {

Compressor::Compressor(const Press* press, const Budget& budget, std::uint64_t seed) : budget_(budget), seed_(seed) {
  if (press == nullptr) return;
  press_ = press->clone();
  needs_ = press_->needs();
}

void Compressor::after_attention(const AttentionBlock& block) {
  if (press_ == nullptr) return;
  const ScopedTimer timer(seconds_);
  if (needs_.recent_queries > 0) remember_queries(block);
  if (needs_.accumulated_attention) accumulate_attention(block);

  LayerView view{block};
  view.n_seen = block.first_position + block.n_new;
  view.n_kept = budget_.n_kept(view.n_seen);
  view.seed = seed_;
  if (needs_.recent_queries > 0) {
    auto& rows = recent_queries_[static_cast<std::size_t>(block.layer)];
    const std::int64_t cols = block.queries.cols;
    view.recent_queries = {rows.data(), static_cast<std::int64_t>(rows.size()) / cols, cols};
  }
  if (needs_.queries) press_->observe(view);
  if (active_ && !budget_.keeps_all()) compress(view);
}

void Compressor::remember_queries(const AttentionBlock& block) {
  const auto l = static_cast<std::size_t>(block.layer);
  if (recent_queries_.size() <= l) recent_queries_.resize(l + 1);
  auto& rows = recent_queries_[l];
  const auto cols = static_cast<std::size_t>(block.queries.cols);
  const auto wanted = static_cast<std::size_t>(needs_.recent_queries);
  const auto n_new = std::min(wanted, static_cast<std::size_t>(block.n_new));
  const std::size_t n_old = std::min(wanted - n_new, rows.size() / cols);
  rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(n_old * cols));
  const float* first = block.queries.row(block.n_new - static_cast<std::int64_t>(n_new));
  rows.insert(rows.end(), first, first + n_new * cols);
}

void Compressor::accumulate_attention(const AttentionBlock& block) const {
  std::vector<HeadKV> kv;
  std::vector<float*> sums;
  for (std::int64_t h = 0; h < block.config.n_kv_heads; ++h) {
    KVHead& head = block.cache.head(block.layer, h);
    kv.push_back({head.keys(), head.values(), head.size()});
    sums.push_back(head.accumulated_attention().data());
  }
  AttentionArgs args;
  args.queries = block.queries.data;
  args.n_new = block.n_new;
  args.n_heads = block.config.n_heads;
  args.head_dim = block.config.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(args.head_dim));
  args.kv = kv;
  args.kv_type = block.cache.shape().type;
  args.log_sum_exp = const_cast<float*>(block.log_sum_exp);  // read, not written, by the second pass
  attention_column_sums(args, sums);
}

void Compressor::compress(const LayerView& view) {
  const std::int64_t n_heads = view.n_kv_heads();
  bool fits = true;
  for (std::int64_t h = 0; h < n_heads; ++h) fits = fits && view.head(h).size() <= view.n_kept;
  if (fits) return;

  scores_.resize(static_cast<std::size_t>(n_heads));
  for (std::int64_t h = 0; h < n_heads; ++h) {
    scores_[static_cast<std::size_t>(h)].resize(static_cast<std::size_t>(view.head(h).size()));
  }
  press_->score(view, scores_);
  std::vector<std::vector<std::int32_t>> kept(static_cast<std::size_t>(n_heads));
  parallel_for(n_heads, [&](std::int64_t h) {
    const auto at = static_cast<std::size_t>(h);
    kept[at] = top_k(scores_[at], view.n_kept);
  });
  if (watcher_) watcher_(view.block.layer, scores_, kept);
  for (std::int64_t h = 0; h < n_heads; ++h)
    view.block.cache.keep(view.block.layer, h, kept[static_cast<std::size_t>(h)]);
}

}  // namespace kvpress
