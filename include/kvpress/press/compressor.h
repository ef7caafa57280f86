// The compressor of one sequence: gathers the inputs of its presses during forward passes, runs the presses when the
// schedule says so, and measures their time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/model/attention_listener.h"
#include "kvpress/model/model.h"
#include "kvpress/press/press.h"
#include "kvpress/press/schedule.h"

namespace kvpress {

/// The moment of a forward pass at which a PassWatcher is called.
enum class PassMoment {
  attended,   ///< after the attention of a layer or of all layers, before compression
  compressed  ///< after the compression of that layer or of all layers
};
using PassWatcher = std::function<void(PassMoment moment, const KVCache& cache)>;
/// Called with every block of every layer, whole, before the press.
using BlockWatcher = std::function<void(const AttentionBlock& block)>;

/// What a compressor has beside its plan, for files.
struct CompressorState {
  std::vector<std::int32_t> tokens;  ///< of the text so far
  bool decodes = false;              ///< begin_decoding() was called
  bool active = true;                ///< set_active()
  std::int64_t n_prompt = 0;
  std::int64_t n_decoded = 0;
  std::vector<std::vector<float>> recent_queries;  ///< of each layer, [n, n_heads * head_dim]; no layers: none
  std::string prefill_press, decoding_press;       ///< press_state(); empty for presses that act no more
};

/// The compression of one sequence. A copy has its own state, equal to that of the original.
class Compressor : public AttentionListener {
 public:
  /// Copies the presses into their initial state. `seed` is for presses that draw random numbers.
  explicit Compressor(const CompressionPlan& plan, std::uint64_t seed = 0);

  Compressor(const Compressor&) = default;
  Compressor& operator=(const Compressor&) = delete;
  Compressor(Compressor&&) = default;
  Compressor& operator=(Compressor&&) = default;

  /// Makes an empty cache with channels for the carried floats of the presses. It renumbers positions if `renumber` is
  /// set or a press needs it. Converts budgets in bytes to tokens, less what layers take that are not compressed.
  /// Throws UsageError if such a budget is too small.
  KVCache make_cache(const Model& model, const CacheFormat& format, bool renumber = false);

  /// The two halves of forward(), for a pass that several sequences share: begin_pass() returns the step for
  /// Model::forward(), end_pass() must be called after it. The tokens follow those of earlier passes. `hidden` receives
  /// the states of the last hidden.rows tokens, [hidden.rows, hidden_size].
  Step begin_pass(std::span<const std::int32_t> tokens, KVCache& cache, Matrix<float> hidden);
  void end_pass(const Model& model, KVCache& cache);
  /// One forward pass. Compresses the cache if compresses().
  void forward(const Model& model, std::span<const std::int32_t> tokens, KVCache& cache, Matrix<float> hidden);

  /// Whether later passes of the prefill are followed by a compression (the default) or only observed.
  void set_active(bool active) { active_ = active; }
  /// Places of the text that stay in the cache whatever the press decides, in ascending order and apart; they count in
  /// the budget. Where they leave it no place, one entry of the others stays.
  void set_protected(std::vector<PlaceRange> ranges) { protected_ = std::move(ranges); }
  /// Whether presses also compress layers with a sliding window; to be set before make_cache(). Off at first: such a
  /// layer holds no more than its window anyway. A ratio counts the tokens of the window there. Presses that compress
  /// all layers at once leave such layers alone, and make_cache() throws UsageError where they are asked not to.
  void set_press_window_layers(bool press) { press_window_layers_ = press; }
  /// Ends the prefill. From now on the press for decode compresses every compression_interval tokens. Without such a
  /// press nothing is compressed or observed.
  void begin_decoding();

  /// Whether the current pass, or else the last one, is followed by a compression.
  bool compresses() const;

  /// To go on from later, with a compressor of the same plan and model. Throws UsageError, naming the press, for one
  /// that does not list its state.
  CompressorState state(const ModelConfig& config) const;
  /// Goes on from there: a compressor that has made its cache and read no token yet. Throws Error for a state that does
  /// not fit.
  void restore(CompressorState state, const ModelConfig& config);

  /// All tokens of the text so far, including evicted ones.
  std::span<const std::int32_t> tokens() const { return tokens_; }
  /// The plan. After make_cache() its budgets are in tokens.
  const CompressionPlan& plan() const { return plan_; }
  /// Whether a press observes or compresses later passes.
  bool has_press() const { return prefill_ || decoding_; }

  /// Seconds spent on gathering, scoring, selecting and evicting. Does not include the time in which attention() sums
  /// columns.
  double seconds() const { return seconds_; }

  /// Adds the time of an earlier compressor that this one replaces.
  void add_seconds(double seconds) { seconds_ += seconds; }

  void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }
  /// Watchers are called during forward(), also without a press. They must not change the cache.
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
  void choose_layers(const ModelConfig& config);

  /// A press with where its own floats begin.
  struct Part {
    std::unique_ptr<Press> press;
    std::int64_t first_carried = 0;
    PressNeeds needs;
    explicit operator bool() const { return press != nullptr; }
    Part() = default;
    Part(const Part& other)
        : press(other.press ? other.press->clone() : nullptr), first_carried(other.first_carried), needs(other.needs) {}
    Part(Part&&) noexcept = default;
    Part& operator=(Part&&) noexcept = default;
    ~Part() = default;
  };
  void add_part(Part& part, const Press& press);
  /// The channel of the cache: the accumulated attention stands first.
  std::int64_t first_carried(const Part& part) const {
    return part.first_carried + (needs_.accumulated_attention ? 1 : 0);
  }
  /// What the press may read.
  PressRights rights(const Part& part) const { return {&part.needs, first_carried(part) + part.needs.n_carried}; }
  /// Runs `body`, which asks a press; its PressError becomes an Error that names the press.
  template <typename Body>
  void ask(std::optional<std::int64_t> layer, Body&& body) const;
  /// The press of the current phase.
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
  std::vector<PlaceRange> protected_;
  std::vector<std::int64_t> layers_;  // that are compressed, ascending; known with the model
  bool all_have_windows_ = false;     // and none is compressed
  std::int64_t n_prompt_ = 0;         // once decoding has begun
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
