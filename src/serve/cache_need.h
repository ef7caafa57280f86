// What a sequence may hold at most under its settings: known before it starts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/engine/sequence.h"

namespace kvpress::serve {

/// A sequence's prefill: passes of at most `chunk` tokens, after some of which the press compresses.
struct PrefillPlan {
  std::int64_t n_before = 0;             ///< tokens of a context that are there already
  std::int64_t n_held_before = 0;        ///< how many of them a head holds, at most on average
  std::int64_t n_tokens = 0;             ///< of the prefill
  std::vector<std::int64_t> boundaries;  ///< after so many tokens of the prefill the press compresses; ascending
  std::int64_t chunk = 0;
};

/// Bounds for the caches of one kind of settings.
class CacheNeed {
 public:
  /// `sequence` is an empty one of those settings.
  explicit CacheNeed(const Sequence& sequence);

  /// The most that the cache holds whose heads hold n tokens on average, with what the compressor carries and one
  /// block of `chunk` tokens on its way.
  std::size_t bytes(std::int64_t n, std::int64_t chunk) const;
  /// The most tokens a head holds on average during the prefill, and after it. A press that does not follow its budget
  /// may keep everything.
  std::int64_t most_in_prefill(const PrefillPlan& plan) const;
  std::int64_t most_after_prefill(const PrefillPlan& plan) const;
  /// What the largest pass of the prefill takes beside the cache: activations of its rows and what a press works with.
  std::size_t pass_bytes(const PrefillPlan& plan) const;
  /// Whether a pass must take all tokens up to the next compression.
  bool wants_whole_block() const { return needs_.newest_block; }

 private:
  std::int64_t kept(std::int64_t n_seen) const;
  std::int64_t longest_pass(const PrefillPlan& plan) const;
  /// One layer whose heads hold n entries that are not quantized.
  std::size_t layer_bytes(std::int64_t n) const;

  const ModelConfig& config_;
  CacheShape shape_;
  PressNeeds needs_;
  Budget budget_;
  bool presses_ = false;  // in the prefill
  bool replays_ = false;  // the press may run the text again, over the cache as it stands
  bool follows_budget_ = true;
};

}  // namespace kvpress::serve
