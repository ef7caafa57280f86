// A sequence: the tokens of one text with their KV cache, compressor and times. All runs of a model with a press use
// it.
//
//   Sequence sequence(model, settings);
//   sequence.append(context);       // prefill, then compression
//   sequence.begin_decoding();      // from now on only a press for decode compresses
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

/// Seconds, summed over passes. A pass shared by several sequences is counted in full for each of them.
struct SequenceTimes {
  double prefill = 0;   ///< passes before begin_decoding(), without the press
  double decode = 0;    ///< passes after it, without the press
  double compress = 0;  ///< the press: gathering, scoring, selecting, evicting
};

/// What a sequence has beside its model and settings: what a file keeps of it (context_file.h).
struct SequenceState {
  CompressorState compressor;
  CacheShape shape;
  std::vector<KVHead> heads;       ///< [n_layers * n_kv_heads], of that shape
  std::vector<float> last_hidden;  ///< Sequence::last_hidden(); empty for an empty sequence
};

class Sequence {
 public:
  /// An empty sequence. The model is not owned and must outlive it. The presses must be prepared
  /// (NamedPress::prepare()); the sequence copies them in their initial state. Throws UsageError if a budget in bytes
  /// is too small for the model.
  Sequence(const Model& model, const CompressionSettings& settings);
  /// A sequence that goes on with the bits of the one whose state this is, which had the same model and settings. Of
  /// presses only those that still act need be prepared. Throws Error for a state that does not fit.
  Sequence(const Model& model, const CompressionSettings& settings, SequenceState state);
  Sequence(Sequence&&) = default;
  Sequence& operator=(Sequence&&) = default;

  /// One forward pass over tokens that follow the earlier ones; then compresses if the schedule says so. `hidden`
  /// receives the states of the last hidden.rows tokens after the final norm, [hidden.rows, hidden_size]. Throws Error
  /// for a token outside the vocabulary, Interrupted, NotFinite for numbers that are none, or when memory runs out;
  /// afterwards the sequence can only be destroyed.
  void append(std::span<const std::int32_t> tokens, Matrix<float> hidden = {});

  /// Ends the prefill. From now on the press for decode compresses every compression_interval tokens. Without such a
  /// press nothing is compressed or observed.
  void begin_decoding();
  bool decodes() const { return decodes_; }
  /// Whether passes of the prefill are followed by a compression (the default) or only observed by the press.
  void set_compressing(bool on) { compressor_.set_active(on); }
  /// Places of the text that stay whatever the press decides: Compressor::set_protected().
  void set_protected(std::vector<PlaceRange> ranges) { compressor_.set_protected(std::move(ranges)); }
  /// Whether the last pass was followed by a compression.
  bool compressed() const { return compressor_.compresses(); }

  /// The state of the last token after the final norm, [1, hidden_size]; empty for an empty sequence.
  Matrix<const float> last_hidden() const;
  /// The logits of the last token, [vocab_size]. Computed on the first call; valid until the next append(). Throws
  /// NotFinite if one is NaN or infinite.
  std::span<const float> logits();
  /// The most likely next token.
  std::int32_t most_likely();

  /// A state to return to. rewind() removes the tokens that were added after the mark; appending them again gives the
  /// same results. A mark belongs to one sequence.
  class Mark;
  Mark mark() const;
  /// Throws std::logic_error, and changes nothing, if entries from before the mark were evicted or quantized after it.
  /// Use fork() if that may happen.
  void rewind(const Mark& mark);
  /// Whether appending leaves all entries unchanged, so that marks stay valid: no press is active, nothing is
  /// quantized, and no layer has a window.
  bool marks_stay_valid() const;
  /// An independent copy.
  Sequence fork() const { return Sequence(*this); }

  const Model& model() const { return *model_; }
  const CompressionSettings& settings() const { return settings_; }
  const KVCache& cache() const { return cache_; }
  const Compressor& compressor() const { return compressor_; }
  /// All tokens so far, including evicted ones.
  std::span<const std::int32_t> tokens() const { return compressor_.tokens(); }
  std::int64_t n_tokens() const { return static_cast<std::int64_t>(tokens().size()); }
  /// Tokens in the cache (mean over layers and KV heads), allocated bytes, and their maximum so far.
  double cache_tokens() const { return cache_.mean_tokens(); }
  /// Of keys and values, how much is held and how much it would be without a press, both as numbers of tokens (means
  /// over layers and KV heads; KVCache::mean_entries()). 1 - held / whole is the share that was really evicted.
  struct Held {
    double held = 0;
    double whole = 0;
  };
  Held held() const;
  /// Whether the cache's format quantizes, but nothing is: the newest entries, which it leaves alone, are all there
  /// are.
  bool quantizes_nothing() const { return settings_.cache_format.bits > 0 && !cache_.has_quantized(); }
  std::size_t cache_bytes() const { return cache_.allocated_bytes(); }
  std::size_t peak_bytes() const { return cache_.peak_bytes(); }
  /// The budget of the prefill in tokens per head, if it is a fixed one.
  std::optional<std::int64_t> budget_tokens() const { return compressor_.plan().prefill_budget.target_size; }
  SequenceTimes times() const;

  /// Watchers are called during append() and must not change anything. Forks have the same watchers.
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
  std::vector<float> carried_;  // carried floats of presses that observe or compress later passes
  Compressor compressor_;
  bool decodes_;
  AlignedVector<float> last_hidden_;
};

/// Warns, once, that the cache of a sequence saves nothing by its format: quantizes_nothing().
void warn_if_nothing_is_quantized(const Sequence& sequence);
/// The same of caches of this format whose heads hold at most so many tokens.
void warn_that_nothing_is_quantized(const CacheFormat& format, double cache_tokens);

/// Runs several sequences of one model in one forward pass, so that weights are read once. The results equal those of
/// separate passes within rounding.
class SequenceBatch {
 public:
  struct Item {
    Sequence& sequence;
    std::span<const std::int32_t> tokens;  ///< one token, or a chunk
    Matrix<float> hidden = {};             ///< as for Sequence::append()
  };
  /// Sequence::append() for each item. A sequence may occur only once. Throws as Sequence::append(); afterwards all
  /// sequences can only be destroyed.
  void append(std::span<const Item> items);

 private:
  Workspace workspace_;
};

}  // namespace kvpress
