// A text being read and written under a press: its cache, its compressor, its positions and its times. Everything that
// runs a model under a press does it through this.
//
//   Sequence sequence(model, settings);
//   sequence.append(context);       // read, then compressed
//   sequence.begin_decoding();      // from here on only a press for decoding is at work
//   sequence.append(question);
//   std::int32_t token = sequence.most_likely();
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/cache/kv_cache.h"
#include "kvpress/engine/compression_settings.h"
#include "kvpress/model/model.h"
#include "kvpress/ops/matrix.h"
#include "kvpress/press/compressor.h"

namespace kvpress {

/// Seconds, added up over passes. A pass that several sequences share counts in full for each of them.
struct SequenceTimes {
  double prefill = 0;   ///< passes before begin_decoding(), without the press
  double decode = 0;    ///< passes after it, without the press
  double compress = 0;  ///< the press: gathering, scoring, selecting, evicting
};

class Sequence {
 public:
  /// An empty one. The model must outlive it. Presses must be prepared (NamedPress::prepare()); the sequence takes
  /// copies in their initial state. Throws UsageError for a budget in bytes that is too small for the model.
  Sequence(const Model& model, const CompressionSettings& settings);
  Sequence(Sequence&&) = default;
  Sequence& operator=(Sequence&&) = default;

  /// Runs tokens that follow those so far through the model; the press compresses when it is its time. `hidden`
  /// receives the final-normed states of the last hidden.rows tokens, [hidden.rows, hidden_size]. Throws Error for a
  /// token outside the vocabulary, Interrupted, or when memory runs out: the sequence can then only be destroyed.
  void append(std::span<const std::int32_t> tokens, Matrix<float> hidden = {});

  /// The prefill is over: from here on the press for decoding compresses, every so many tokens. Without one nothing is
  /// compressed or observed any more.
  void begin_decoding();
  bool decodes() const { return decodes_; }
  /// Whether passes of the prefill are followed by compression, or only observed by the press. On at first.
  void set_compressing(bool on) { compressor_.set_active(on); }
  /// Whether the last pass was followed by compression.
  bool compressed() const { return compressor_.compresses(); }

  /// The final-normed state of the newest token, [1, hidden_size]; of an empty sequence none.
  Matrix<const float> last_hidden() const;
  /// Its logits, [vocab_size], computed when first asked for; valid until the next append().
  std::span<const float> logits();
  /// The token with the largest logit.
  std::int32_t most_likely();

  /// A point to come back to: rewind() takes away what was added since, so that the same tokens give the same results
  /// again. A mark is of one sequence.
  class Mark;
  Mark mark() const;
  /// Throws std::logic_error, and changes nothing, when entries from before the mark have been evicted or quantized
  /// since. Where that may happen, take a fork() instead.
  void rewind(const Mark& mark);
  /// Whether appending leaves all entries as they are, so that marks stay good: no press is at work, nothing is
  /// quantized, and no layer has a window.
  bool marks_stay_good() const;
  /// A copy that goes on by itself.
  Sequence fork() const { return Sequence(*this); }

  const Model& model() const { return *model_; }
  const CompressionSettings& settings() const { return settings_; }
  const KVCache& cache() const { return cache_; }
  /// Tokens so far, from the first, evicted ones included.
  std::span<const std::int32_t> tokens() const { return compressor_.tokens(); }
  std::int64_t n_tokens() const { return static_cast<std::int64_t>(tokens().size()); }
  /// Tokens that the cache holds, mean over layers and KV heads; bytes allocated now and at most.
  double cache_tokens() const { return cache_.mean_tokens(); }
  std::size_t cache_bytes() const { return cache_.allocated_bytes(); }
  std::size_t peak_bytes() const { return cache_.peak_bytes(); }
  /// The number of tokens that the prefill's budget comes to, where it is a fixed one.
  std::optional<std::int64_t> budget_tokens() const { return compressor_.plan().prefill_budget.target_size; }
  SequenceTimes times() const;

  /// For who measures: called during append(); not to change anything. Forks have them too.
  void set_watcher(Watcher watcher) { compressor_.set_watcher(std::move(watcher)); }
  void set_pass_watcher(PassWatcher watcher) { compressor_.set_pass_watcher(std::move(watcher)); }
  void set_block_watcher(BlockWatcher watcher) { compressor_.set_block_watcher(std::move(watcher)); }

 private:
  friend class SequenceBatch;
  Sequence(const Sequence&) = default;  // fork()

  Step begin_pass(std::span<const std::int32_t> tokens, Matrix<float> hidden);
  void end_pass(Matrix<float> hidden, double pass_seconds);

  const Model* model_;
  CompressionSettings settings_;  // keeps the presses of the plan alive
  Compressor compressor_;
  KVCache cache_;
  bool decodes_ = false;
  double prefill_sec_ = 0;
  double decode_sec_ = 0;
  double compress_sec_before_ = 0;  // of the pass at hand
  AlignedVector<float> last_hidden_;
  AlignedVector<float> logits_;  // empty until asked for
};

class Sequence::Mark {
  friend class Sequence;
  Mark(CacheMark cache, const Compressor& compressor, bool decodes, const AlignedVector<float>& last_hidden)
      : cache_(std::move(cache)), compressor_(compressor), decodes_(decodes), last_hidden_(last_hidden) {}

  CacheMark cache_;
  std::vector<float> carried_;  // what a press that is still at work keeps beside each entry
  Compressor compressor_;
  bool decodes_;
  AlignedVector<float> last_hidden_;
};

/// Several sequences of one model in one pass: weights are read once for all of them. Each gets what it would get
/// alone, within rounding.
class SequenceBatch {
 public:
  struct Item {
    Sequence& sequence;
    std::span<const std::int32_t> tokens;  ///< one, or a chunk
    Matrix<float> hidden = {};             ///< as for Sequence::append()
  };
  /// Sequence::append() for each. No sequence may stand in it twice. Throws what that throws; then all of them can only
  /// be destroyed.
  void append(std::span<const Item> items);

 private:
  Workspace workspace_;
};

}  // namespace kvpress
