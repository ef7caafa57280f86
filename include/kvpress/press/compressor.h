// Runs a press on a cache as the model goes: gathers what the press needs, lets it compress layer by layer or at the
// end of a pass, and times itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kvpress/model/attention_listener.h"
#include "kvpress/model/model.h"
#include "kvpress/press/press.h"
#include "kvpress/press/schedule.h"

namespace kvpress {

/// Where a pass has come to when whoever measures memory looks at its cache.
enum class PassMoment {
  attended,   ///< a layer's attention, or all layers, are done: what the block added is there, nothing has gone yet
  compressed  ///< the press is done with that layer, or with all
};
using PassWatcher = std::function<void(PassMoment moment, const KVCache& cache)>;
/// Shown every block of every layer, whole, before the press sees it.
using BlockWatcher = std::function<void(const AttentionBlock& block)>;

/// One sequence's compression over its cache. A copy goes on by itself from what the presses have seen so far.
class Compressor : public AttentionListener {
 public:
  /// Copies the presses into their initial state. `seed` is for presses that draw random numbers.
  explicit Compressor(const CompressionPlan& plan, std::uint64_t seed = 0);

  Compressor(const Compressor&) = default;
  Compressor& operator=(const Compressor&) = delete;
  Compressor(Compressor&&) = default;
  Compressor& operator=(Compressor&&) = default;

  /// A cache with room for what the press keeps beside the tokens. It renumbers positions when asked to, or when the
  /// press rebuilds them. Budgets of bytes become numbers of tokens by its shape. Throws UsageError when they are too
  /// small.
  KVCache make_cache(const Model& model, const CacheFormat& format, bool renumber = false);

  /// A pass over tokens that follow those of the passes before, with the press at work: the step to give to
  /// Model::forward(), alone or beside those of other sequences, and what is to be done after it. When both are done
  /// the cache is compressed, unless the compressor is not active.
  Step begin_pass(std::span<const std::int32_t> tokens, KVCache& cache, Matrix<float> hidden);
  void end_pass(const Model& model, KVCache& cache);
  /// All of it.
  void forward(const Model& model, std::span<const std::int32_t> tokens, KVCache& cache, Matrix<float> hidden);

  /// Whether the next passes of the prefill are followed by compression, or only observed. On at first.
  void set_active(bool active) { active_ = active; }
  /// Whether presses compress layers that look back no further than a window, as others. Off at first: those hold no
  /// more than their window anyway. Presses that compress all layers at once refuse models with such layers.
  void set_press_window_layers(bool press) { press_window_layers_ = press; }
  /// The prefill is over: from here on the decoding press compresses, every so many tokens. Without one nothing is
  /// compressed or observed any more.
  void begin_decoding();

  /// Whether the pass at hand, or the last one, is followed by compression.
  bool compresses() const;

  /// Tokens of the text so far, from its first, evicted ones included.
  std::span<const std::int32_t> tokens() const { return tokens_; }
  /// With budgets in tokens, once the cache is made.
  const CompressionPlan& plan() const { return plan_; }
  /// Whether a press still has to see what comes.
  bool has_press() const { return prefill_ || decoding_; }

  /// Time spent in the press: gathering, scoring, selecting, evicting. Without what attention takes to sum columns.
  double seconds() const { return seconds_; }

  /// For one that stands in for an earlier one, whose time counts on.
  void add_seconds(double seconds) { seconds_ += seconds; }

  void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }
  /// Called during forward(), for a full cache as well; not to change anything.
  void set_pass_watcher(PassWatcher watcher) { pass_watcher_ = std::move(watcher); }
  void set_block_watcher(BlockWatcher watcher) { block_watcher_ = std::move(watcher); }

  bool wants_whole_block() const override { return needs_.every_block || needs_.newest_block || block_watcher_; }
  std::span<float* const> column_sums(std::int64_t layer, KVCache& cache) override;
  void after_attention(const AttentionBlock& block) override;
  bool wants_attention_output() const override { return needs_.layer_outputs; }
  void after_layer(const LayerOutput& output) override;

 private:
  /// The last queries of a layer; the window grows to twice what is wanted before it is cut, so that a token at a time
  /// costs no more than a token.
  struct RecentQueries {
    AlignedVector<float> rows;
    void add(Matrix<const float> queries, std::int64_t wanted);
    Matrix<const float> last(std::int64_t wanted, std::int64_t cols) const;
  };

  /// Gathers for the presses and, when it is time, has one compress.
  void press_layer(const AttentionBlock& block);
  BudgetView budget_view() const;

  /// A press with where its own floats begin.
  struct Part {
    std::unique_ptr<Press> press;
    std::int64_t first_carried = 0;
    explicit operator bool() const { return press != nullptr; }
    Part() = default;
    Part(const Part& other) : press(other.press ? other.press->clone() : nullptr), first_carried(other.first_carried) {}
    Part(Part&&) noexcept = default;
    Part& operator=(Part&&) noexcept = default;
    ~Part() = default;
  };
  void add_part(Part& part, const Press& press);
  /// The channel of the cache: the accumulated attention stands first.
  std::int64_t first_carried(const Part& part) const {
    return part.first_carried + (needs_.accumulated_attention ? 1 : 0);
  }
  /// What compresses in the phase at hand.
  const Part& current() const { return decodes_ && !same_press_ ? decoding_ : prefill_; }

  CompressionPlan plan_;
  Part prefill_;
  Part decoding_;            // empty when it is the prefill's press that goes on
  bool same_press_ = false;  // one press, with one state, in both phases
  bool decodes_ = false;     // begin_decoding() was called
  PressNeeds needs_;         // of both
  std::uint64_t seed_;
  bool active_ = true;
  bool press_window_layers_ = false;
  std::int64_t n_prompt_ = 0;  // once decoding has begun
  std::int64_t n_decoded_ = 0;
  std::int64_t n_newest_ = 0;  // tokens of the pass at hand
  double seconds_ = 0;
  std::vector<std::int32_t> tokens_;           // of the text, from its first
  std::vector<RecentQueries> recent_queries_;  // one a layer
  std::vector<float*> column_sums_;            // of the layer at hand
  Watcher watcher_;
  PassWatcher pass_watcher_;
  BlockWatcher block_watcher_;
};

}  // namespace kvpress
