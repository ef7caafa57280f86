#include "serve/cache_need.h"

#include <algorithm>

#include "kvpress/engine/memory_plan.h"

namespace kvpress::serve {
namespace {

/// What a window has left behind and a layer may hold still: entries that wait to be dropped, and the rest of a
/// quantized group.
constexpr std::int64_t kLeftBehind = 63 + 31;

}  // namespace

CacheNeed::CacheNeed(const Sequence& sequence) : config_(sequence.model().config()), shape_(sequence.cache().shape()) {
  const CompressionPlan plan = sequence.settings().plan();
  if (plan.prefill != nullptr) needs_ = needs_ + plan.prefill->needs();
  if (plan.decoding != nullptr) needs_ = needs_ + plan.decoding->needs();
  presses_ = plan.prefill != nullptr;
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
  CacheShape plain = one;
  plain.format.bits = 0;
  if (shape_.format.bits > 0 || config_.has_windows()) bytes += KVCache::most_bytes(plain, chunk);
  const auto layers = static_cast<std::size_t>(config_.n_layers);
  const auto width = static_cast<std::size_t>(config_.n_heads * config_.head_dim);
  // The queries that are carried along; statistics of keys or queries have no more than some numbers a pair of
  // channels.
  bytes += layers * width * sizeof(float) * 2 * static_cast<std::size_t>(needs_.recent_queries);
  if (needs_.every_block) bytes += 2 * layers * width * static_cast<std::size_t>(config_.head_dim) * sizeof(double);
  return bytes;
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
  if (!wants_whole_block()) return std::min(plan.chunk, plan.n_tokens);
  std::int64_t longest = std::min(plan.chunk, plan.n_tokens);
  std::int64_t at = 0;
  for (const std::int64_t boundary : plan.boundaries) {
    longest = std::max(longest, boundary - at);
    at = boundary;
  }
  return longest;
}

std::size_t CacheNeed::pass_bytes(const PrefillPlan& plan) const {
  // Activations of a usual pass belong to the server's scratch; what is longer comes on top. A press scores each entry
  // of one layer, and some make a few numbers for each query head.
  const std::int64_t more = longest_pass(plan) - std::min(plan.chunk, plan.n_tokens);
  const double activations = more > 0 ? plan_memory(config_, 0, shape_.format, more, more).activations : 0;
  const auto entries = static_cast<std::size_t>(most_in_prefill(plan));
  const std::size_t scores = presses_ ? entries * static_cast<std::size_t>(config_.n_heads) * 16 * sizeof(float) : 0;
  return static_cast<std::size_t>(activations) + scores;
}

}  // namespace kvpress::serve
