// Runs a press on a cache as the model goes: gathers what the press needs, asks for its scores, keeps the best of each
// head, frees the rest, and times itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kvpress/model/attention_listener.h"
#include "kvpress/press/budget.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// One run's compression. Give it to Model::forward(), with a cache whose shape().accumulate_attention is the press's
/// needs().accumulated_attention.
class Compressor : public AttentionListener {
 public:
  /// Copies the press into its initial state. A null press (no_press) compresses nothing. `seed` is for presses that
  /// draw random numbers.
  Compressor(const Press* press, const Budget& budget, std::uint64_t seed = 0);

  /// Whether the next blocks are followed by compression, or only observed. On at first.
  void set_active(bool active) { active_ = active; }
  void set_budget(const Budget& budget) { budget_ = budget; }

  bool needs_accumulated_attention() const { return press_ != nullptr && press_->needs().accumulated_attention; }

  void after_attention(const AttentionBlock& block) override;

  /// Time spent in the press, in selecting and in evicting, since the start.
  double seconds() const { return seconds_; }

  /// For tests and pictures: shown each layer's scores and what is kept of each head before it is evicted.
  using Watcher =
      std::function<void(std::int64_t layer, const Scores& scores, const std::vector<std::vector<std::int32_t>>& kept)>;
  void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }

 private:
  void remember_queries(const AttentionBlock& block);
  void accumulate_attention(const AttentionBlock& block) const;
  void compress(const LayerView& view);

  std::unique_ptr<Press> press_;
  PressNeeds needs_;
  Budget budget_;
  std::uint64_t seed_;
  bool active_ = true;
  double seconds_ = 0;
  std::vector<AlignedVector<float>> recent_queries_;  // one a layer, the newest row last
  Scores scores_;
  Watcher watcher_;
};

}  // namespace kvpress
