// The interface of presses. A press decides which entries of the KV cache are kept. Each method is one class with its
// parameters and their defaults. It implements one of four functions, from the simplest to the most general:
//   score()             returns a score per entry; the highest of each head are kept   (knorm, snapkv, ...)
//   select()            returns the entries that each head keeps, in any number        (adakv, chunkkv, ...)
//   compress()          changes keys, values or channels of a layer, and evicts        (merging, think, ...)
//   compress_context()  does the same for all layers at once, after the forward pass,
//                       and may run the model again                                    (kvzip, kvcompose, ...)
// budget.h defines how many entries are kept and schedule.h when. LayerView::keep() evicts entries and frees their
// memory.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/cache/kv_cache.h"
#include "kvpress/model/attention_listener.h"

namespace kvpress {

class Model;
class ParameterVisitor;
class StateVisitor;
class Tokenizer;

/// The inputs that the compressor gathers for a press. Nothing else is computed.
struct PressNeeds {
  std::int64_t recent_queries = 0;     ///< number of last queries, before RoPE, across blocks
  bool every_block = false;            ///< observe() is called for every block of every layer
  bool newest_block = false;           ///< the newest block is passed whole, with hidden states and queries
  bool accumulated_attention = false;  ///< summed attention per entry, stored in the cache
  std::int64_t n_carried = 0;          ///< floats of the press per entry, stored in the cache
  bool rebuilds_positions = false;     ///< kept keys are turned to positions 0, 1, ... (CacheShape::renumber)
  bool layer_outputs = false;          ///< observe_output() is called with each layer's stream and attention output
};
/// The needs of two presses together; the numbers of carried floats are added.
PressNeeds operator+(const PressNeeds& a, const PressNeeds& b);

/// A press that breaks the rules of this interface. The compressor puts "press <text>: layer <i>: " before the message
/// and throws it on as an Error.
class PressError : public Error {
 public:
  using Error::Error;
};

/// scores[h][j]: the score of entry j of KV head h. The highest are kept. They may be infinite, but not NaN.
using Scores = std::vector<AlignedVector<float>>;
/// kept[h]: the entries of KV head h that are kept, ascending, each once. Without rows, all entries are kept.
using Kept = std::vector<std::vector<std::int32_t>>;

/// Callbacks for tests and pictures: the scores of a layer, if it has any, and the kept entries, before the others are
/// evicted.
struct Watcher {
  std::function<void(std::int64_t layer, const Scores& scores)> scored;
  std::function<void(std::int64_t layer, const Kept& kept)> kept;
};

/// The budget of a compression; the same for all layers that are compressed, but for those with windows.
struct BudgetView {
  std::int64_t n_seen = 0;  ///< tokens of the text so far, including evicted ones
  std::int64_t n_kept = 0;  ///< entries per KV head; some presses distribute them unevenly
  double ratio = 0;         ///< share to evict: as requested, or 1 - n_kept / n_seen
  std::uint64_t seed = 0;   ///< of the run
  /// The first so many tokens are the prompt, whatever the phase: n_seen until decoding begins.
  std::int64_t n_prompt = 0;
  /// The layers that share the budget, ascending: those that are compressed. Empty: all.
  std::span<const std::int64_t> layers = {};
};

/// Places in the text from `begin` on, before `end`.
struct PlaceRange {
  std::int64_t begin = 0, end = 0;
  bool operator==(const PlaceRange&) const = default;
};
/// Adds to each row of `kept` the entries whose places are in the ranges. `head(h)` gives a head.
using HeadOf = std::function<const KVHead&(std::int64_t kv_head)>;
void add_protected(Kept& kept, std::span<const PlaceRange> ranges, const HeadOf& head);

/// The last queries before RoPE, [<= needs().recent_queries, n_heads * head_dim], the newest last.
struct RecentQueriesView : Matrix<const float> {
  RecentQueriesView() = default;
  RecentQueriesView(const Matrix<const float>& of) : Matrix(of) {}  // NOLINT(google-explicit-constructor)
  /// Throws PressError for a query that was not asked for.
  const float* row(std::int64_t i) const;
};

/// What a press may read beside keys, values and positions: what it asked for. Without `needs`, everything.
struct PressRights {
  const PressNeeds* needs = nullptr;
  std::int64_t end_carried = std::numeric_limits<std::int64_t>::max();  ///< behind its last channel of carried floats

  /// Throw PressError.
  void check_carried(std::int64_t channel) const;
  void check_accumulated_attention() const;
  void check_recent_queries() const;
};

/// One layer after the attention of a block. A view: valid only during the call.
struct LayerView {
  const AttentionBlock& block;
  BudgetView budget;
  RecentQueriesView recent_queries = {};
  std::int64_t first_carried = 0;       ///< first channel of the press's carried floats
  std::vector<KVHead>* part = nullptr;  ///< if set, these heads replace those of the layer (LayerPart)
  const Watcher* watcher = nullptr;
  PressRights rights = {};
  /// Entries of these places stay whatever the press decides, and budget.n_kept is of the others.
  std::span<const PlaceRange> stays = {};

  std::int64_t n_kv_heads() const { return block.config.n_kv_heads; }
  /// How many layers share the budget, and how many of them come before this one.
  std::int64_t n_pressed_layers() const { return budget.layers.empty() ? block.config.n_layers : budget.layers.size(); }
  std::int64_t rank_of_layer() const;
  const KVHead& head(std::int64_t kv_head) const;
  /// Entries of all heads, and of the longest head.
  std::int64_t total_size() const;
  std::int64_t longest() const;
  /// Whether no head holds more than the budget grants it.
  bool fits() const { return longest() <= budget.n_kept; }

  /// The RoPE position of the next token in a KV head: n_seen, or the size of the head if the cache renumbers
  /// positions. Entry j has head(h).rope_position(j). KVHead::positions() are always positions in the text.
  std::int64_t next_position(std::int64_t kv_head) const {
    const KVHead& it = head(kv_head);
    if (!block.cache.shape().renumber) return budget.n_seen;
    return it.size() > 0 ? it.rope_position(it.size() - 1) + 1 : 0;  // of a part: where its last entry stands
  }

  /// One carried float per entry of a head. Those of new tokens are 0 until the press writes them. Throws PressError
  /// for a channel that needs().n_carried does not have.
  std::span<float> carried(std::int64_t kv_head, std::int64_t channel) const;
  /// Throws PressError unless needs().accumulated_attention is set.
  std::span<const float> accumulated_attention(std::int64_t kv_head) const;

  /// Replaces the value of entry j, [head_dim]. For presses that merge evicted entries into kept ones. Throws
  /// PressError for a number that is not finite, or that the cache's type does not hold.
  void write_value(std::int64_t kv_head, std::int64_t j, const float* value) const;

  /// Removes all other channels from the keys of a head (KVCache::thin_keys()). Not for a LayerPart.
  void thin_keys(std::int64_t kv_head, std::span<const std::int32_t> channels) const {
    block.cache.thin_keys(block.layer, kv_head, channels);
  }

  /// Evicts all other entries and frees their memory. This is the only function that evicts. Throws PressError, and
  /// evicts nothing, unless `kept` has a row for each head with indices of its entries, ascending, each once.
  void keep(const Kept& kept) const;

 private:
  KVHead& mutable_head(std::int64_t kv_head) const;
};

/// The whole cache, after a forward pass that is followed by a compression. A view: valid only during the call.
struct ContextView {
  const Model& model;
  KVCache& cache;
  std::span<const std::int32_t> tokens;  ///< of the text so far
  std::int64_t n_new = 0;                ///< number of tokens in the last pass
  BudgetView budget;
  const Watcher* watcher = nullptr;
  std::int64_t first_carried = 0;  ///< first channel of the press's carried floats
  PressRights rights = {};
  std::span<const PlaceRange> stays = {};  ///< as LayerView::stays

  /// The layers to compress, ascending: the others stay as they are.
  std::vector<std::int64_t> layers() const;

  /// The carried floats of the entries of a head. As LayerView::carried().
  std::span<float> carried(std::int64_t layer, std::int64_t kv_head, std::int64_t channel) const {
    rights.check_carried(first_carried + channel);
    return cache.head(layer, kv_head).carried(first_carried + channel);
  }
  /// Evicts all other entries of a layer and frees their memory. As LayerView::keep().
  void keep(std::int64_t layer, const Kept& kept) const;
};

/// The data available before the weights are loaded.
struct PressSetup {
  const ModelConfig& config;
  std::string model_name;                ///< as the user wrote it, for error messages
  const Tokenizer* tokenizer = nullptr;  ///< null if there is none (random weights)
};

/// Which function a press implements. Determines which presses fit inside others.
enum class PressKind : std::uint8_t {
  scores,     ///< score()
  selection,  ///< select()
  edit,       ///< compress()
  context     ///< compress_context()
};
std::string_view to_string(PressKind kind);

/// Base class of everything with parameters in the notation name(parameter=value).
class Parameterized {
 public:
  virtual ~Parameterized() = default;
  virtual void visit_parameters(ParameterVisitor& /*visitor*/) {}
};

class Press : public Parameterized {
 public:
  /// A copy in its initial state. Every run uses its own copy, so no state is shared between runs.
  virtual std::unique_ptr<Press> clone() const = 0;
  virtual PressKind kind() const = 0;
  virtual PressNeeds needs() const { return {}; }
  /// Whether it keeps budget.n_kept entries per head, at least on average. False for presses that use a threshold or
  /// their own numbers, or evict nothing.
  virtual bool follows_budget() const { return true; }

  /// Called once, before weights are loaded. Reads the files of the press and checks that the model is supported.
  /// Throws UsageError or Error. Copies share the data that was read.
  virtual void prepare(const PressSetup& /*setup*/) {}

  /// Called for every block of every layer, before scoring, if needs().every_block is set.
  virtual void observe(const LayerView& /*layer*/) {}
  /// Shown what every layer has made of every block, when needs().layer_outputs is set: after observe() and compress()
  /// of that layer.
  virtual void observe_output(const LayerOutput& /*output*/) {}

  /// Fills `scores`, which is already sized: one row per KV head, one value per entry. An entry without a score is an
  /// error, as one whose score is NaN.
  virtual void score(const LayerView& layer, Scores& scores);
  /// Returns the entries to keep. Default: the budget.n_kept highest scores of each head; all entries, without
  /// scoring, if all heads fit the budget.
  virtual Kept select(const LayerView& layer);
  /// Compresses one layer. Default: keeps the entries that select() returns.
  virtual void compress(const LayerView& layer);
  /// Compresses the whole cache, after compress() was called for each layer. Default: does nothing.
  virtual void compress_context(const ContextView& /*context*/) {}

  /// Lists what the press carries from pass to pass, for sequences that are saved (press_state.h). Presses inside it
  /// are visited by themselves. Default: it carries nothing; a press that observes, and has no floats in the cache to
  /// put that in, must say more, or is not saved.
  virtual void visit_state(StateVisitor& visitor);
};

/// Base classes of presses: Scorer<YourPress>, Selector<YourPress>, Editor<YourPress> and ContextPress<YourPress>. They
/// implement clone() with the copy constructor, and kind().
template <typename Derived, PressKind Kind>
class PressOf : public Press {
 public:
  std::unique_ptr<Press> clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
  PressKind kind() const override { return Kind; }
};
template <typename Derived>
using Scorer = PressOf<Derived, PressKind::scores>;
template <typename Derived>
using Selector = PressOf<Derived, PressKind::selection>;
template <typename Derived>
using Editor = PressOf<Derived, PressKind::edit>;
template <typename Derived>
class ContextPress : public PressOf<Derived, PressKind::context> {
 public:
  void compress(const LayerView& /*layer*/) override {}  // waits for the whole cache
};

/// The scores of a layer: allocates them and calls press.score(). Throws PressError if one is NaN.
Scores scores_of(Press& press, const LayerView& layer);
/// Throws PressError if a score is NaN, which has no place among others. For scores that scores_of() did not make.
void refuse_nan(const Scores& scores);

/// The n_kept (or n_kept[h]) entries of each head with the highest scores. Throws PressError if one is NaN.
Kept best_of_each_head(const Scores& scores, std::int64_t n_kept);
Kept best_of_each_head(const Scores& scores, std::span<const std::int64_t> n_kept);

}  // namespace kvpress
