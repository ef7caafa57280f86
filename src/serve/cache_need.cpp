#include "serve/cache_need.h"

#include <algorithm>
#include <utility>

#include "kvpress/engine/memory_plan.h"

namespace kvpress::serve {
namespace {

/// What a window has left behind and a layer may hold still: entries that wait to be dropped, and the rest of a
/// quantized group.
constexpr std::int64_t kLeftBehind = 63 + 31;

/// What a press puts around a text that it runs again.
constexpr std::int64_t kAroundReplay = 64;

std::int64_t longest_segment(const PrefillPlan& plan) {
  std::int64_t longest = 0;
  std::int64_t at = 0;
  for (const std::int64_t boundary : plan.boundaries) {
    longest = std::max(longest, boundary - std::exchange(at, boundary));
  }
  return longest;
}

}  // namespace

CacheNeed::CacheNeed(const Sequence& sequence) : config_(sequence.model().config()), shape_(sequence.cache().shape()) {
  const CompressionPlan plan = sequence.settings().plan();
  if (plan.prefill != nullptr) needs_ = needs_ + plan.prefill->needs();
  if (plan.decoding != nullptr) needs_ = needs_ + plan.decoding->needs();
  presses_ = plan.prefill != nullptr;
  replays_ = presses_ && plan.prefill->kind() == PressKind::context;
  follows_budget_ = presses_ && plan.prefill->follows_budget();
  budget_ = plan.prefill_budget;
  if (sequence.budget_tokens()) budget_ = Budget::of_tokens(*sequence.budget_tokens());
}

std::size_t CacheNeed::bytes(std::int64_t n, std::int64_t chunk) const {
  CacheShape one = shape_;
  one.n_layers = 1;
  std::size_t bytes = 0;
  for (std::int64_t l = 0; l < config_.n_layers; ++l) {
    const std::int64_t window = config_.layer(l).window;
    bytes += KVCache::most_bytes(one, window > 0 ? std::min(n, window + kLeftBehind) : n);
  }
  // A layer with a window or of quantized entries holds the whole block before it drops or rounds what is older.
  if (shape_.format.bits > 0 || config_.has_windows()) bytes += layer_bytes(chunk);
  const auto layers = static_cast<std::size_t>(config_.n_layers);
  const auto width = static_cast<std::size_t>(config_.n_heads * config_.head_dim);
  // The queries that are carried along; statistics of keys or queries have no more than some numbers a pair of
  // channels.
  bytes += layers * width * sizeof(float) * 2 * static_cast<std::size_t>(needs_.recent_queries);
  if (needs_.every_block) bytes += 2 * layers * width * static_cast<std::size_t>(config_.head_dim) * sizeof(double);
  return bytes;
}

std::size_t CacheNeed::layer_bytes(std::int64_t n) const {
  CacheShape layer = shape_;
  layer.n_layers = 1;
  layer.format.bits = 0;
  return KVCache::most_bytes(layer, n);
}

std::int64_t CacheNeed::kept(std::int64_t n_seen) const {
  if (!presses_ || !follows_budget_) return n_seen;
  return std::min(n_seen, budget_.n_kept(n_seen));
}

std::int64_t CacheNeed::most_in_prefill(const PrefillPlan& plan) const {
  std::int64_t most = 0;
  std::int64_t at = 0;
  std::int64_t held = plan.n_held_before;
  for (const std::int64_t boundary : plan.boundaries) {
    most = std::max(most, held + boundary - at);
    held = std::min(held + boundary - at, kept(plan.n_before + boundary));
    at = boundary;
  }
  return std::max(most, held + plan.n_tokens - at);
}

std::int64_t CacheNeed::most_after_prefill(const PrefillPlan& plan) const {
  if (plan.boundaries.empty()) return plan.n_held_before + plan.n_tokens;
  const std::int64_t last = plan.boundaries.back();
  return std::min(plan.n_held_before + last, kept(plan.n_before + last)) + plan.n_tokens - last;
}

std::int64_t CacheNeed::longest_pass(const PrefillPlan& plan) const {
  const std::int64_t usual = std::min(plan.chunk, plan.n_tokens);
  if (replays_) return std::max(usual, longest_segment(plan) + kAroundReplay);
  return wants_whole_block() ? std::max(usual, longest_segment(plan)) : usual;
}

std::size_t CacheNeed::pass_bytes(const PrefillPlan& plan) const {
  if (!presses_) return 0;
  // Activations of a usual pass belong to the server's scratch; what is longer comes on top. A press scores each entry
  // of a layer, and some make a few numbers for each query head.
  const std::int64_t more = longest_pass(plan) - std::min(plan.chunk, plan.n_tokens);
  const double activations = more > 0 ? plan_memory(config_, 0, shape_.format, more, more).activations : 0;
  const std::int64_t entries = most_in_prefill(plan);
  std::size_t bytes = static_cast<std::size_t>(entries * config_.n_heads) * 16 * sizeof(float);
  // What is run again stands in one layer at a time beside what is there; parts of it are copied to be scored.
  if (replays_) bytes += 2 * layer_bytes(entries + longest_pass(plan));
  return static_cast<std::size_t>(activations) + bytes;
}

}  // namespace kvpress::serve
