// A press says what in the cache is worth keeping. One method, one file: a struct of parameters with their defaults and
// one of four answers, from the simplest to the freest:
//   score()            a number an entry; the highest of each head stay            (knorm, snapkv, ...)
//   select()           which entries of each head stay, in any number              (adakv, chunkkv, ...)
//   compress()         changes the layer: keys, values, channels; evicts           (merging, think, ...)
//   compress_context() the same for all layers at once, after the pass, with the
//                      model at hand for another one                               (kvzip, kvcompose, ...)
// How many tokens the budget grants is press/budget.h, when it happens is the protocol's; evicting and freeing memory
// are done by LayerView::keep().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/cache/kv_cache.h"
#include "kvpress/model/attention_listener.h"

namespace kvpress {

class Model;
class ParameterVisitor;
class Tokenizer;

/// What a press wants gathered for it; nothing else is computed.
struct PressNeeds {
  std::int64_t recent_queries = 0;     ///< the last so many queries, before RoPE, across blocks
  bool every_block = false;            ///< observe() is shown every block of every layer, before any scoring
  bool newest_block = false;           ///< looks at the newest block's hidden states or queries: it comes whole
  bool accumulated_attention = false;  ///< the attention each token got so far, beside it in the cache
  std::int64_t n_carried = 0;       ///< floats of its own that the press keeps beside each token, written in observe()
  bool rebuilds_positions = false;  ///< kept keys are turned to positions 0, 1, ... (CacheShape::renumber)
  bool layer_outputs = false;       ///< observe_output() is shown each layer's stream and what attention added to it
};
/// What both want; carried floats of both, side by side.
PressNeeds operator+(const PressNeeds& a, const PressNeeds& b);

/// scores[h][j]: the worth of entry j of KV head h. The highest are kept.
using Scores = std::vector<AlignedVector<float>>;
/// kept[h]: the entries of KV head h that stay, ascending. Without any rows: everything stays.
using Kept = std::vector<std::vector<std::int32_t>>;

/// For tests and pictures: shown each layer's scores (where there are any) and what is kept, before it is evicted.
struct Watcher {
  std::function<void(std::int64_t layer, const Scores& scores)> scored;
  std::function<void(std::int64_t layer, const Kept& kept)> kept;
};

/// What was asked for, once for all layers.
struct BudgetView {
  std::int64_t n_seen = 0;  ///< tokens of the text so far, evicted ones included
  std::int64_t n_kept = 0;  ///< entries that each head may keep, where the press does not share them out otherwise
  double ratio = 0;         ///< the share that goes: as asked for, or 1 - n_kept / n_seen
  std::uint64_t seed = 0;   ///< of the run
  /// The first so many tokens are the prompt, whatever the phase: n_seen until decoding begins.
  std::int64_t n_prompt = 0;
};

/// One layer after a block's attention. Views: valid during the call only.
struct LayerView {
  const AttentionBlock& block;
  BudgetView budget;
  Matrix<const float> recent_queries = {};  ///< [<= needs().recent_queries, n_heads * head_dim], the newest last
  std::int64_t first_carried = 0;           ///< channel of the cache where the press's own floats begin
  std::vector<KVHead>* part = nullptr;      ///< when set, these heads stand for the layer's: a part of the cache
  const Watcher* watcher = nullptr;

  std::int64_t n_kv_heads() const { return block.config.n_kv_heads; }
  const KVHead& head(std::int64_t kv_head) const;
  /// Entries of all heads together, and of the longest.
  std::int64_t total_size() const;
  std::int64_t longest() const;
  /// Whether no head holds more than the budget grants it.
  bool fits() const { return longest() <= budget.n_kept; }

  /// The RoPE position of the next token in a KV head: n_seen, or the head's size where the cache renumbers. The last
  /// token's is one less. That of entry j is head(h).rope_position(j); positions() are places in the text.
  std::int64_t next_position(std::int64_t kv_head) const {
    const KVHead& it = head(kv_head);
    if (!block.cache.shape().renumber) return budget.n_seen;
    return it.size() > 0 ? it.rope_position(it.size() - 1) + 1 : 0;  // of a part: where its last entry stands
  }

  /// The press's own floats beside each entry of a head; those of new tokens are 0 until it writes them.
  std::span<float> carried(std::int64_t kv_head, std::int64_t channel) const;
  std::span<const float> accumulated_attention(std::int64_t kv_head) const { return head(kv_head).carried(0); }

  /// Writes the value of entry j: for presses that merge what goes into what stays.
  void write_value(std::int64_t kv_head, std::int64_t j, const float* value) const;

  /// Takes away all but these channels of every key of a head: KVCache::thin_keys(). Not for parts of a cache.
  void thin_keys(std::int64_t kv_head, std::span<const std::int32_t> channels) const {
    block.cache.thin_keys(block.layer, kv_head, channels);
  }

  /// Evicts everything else and frees it. The one way to evict.
  void keep(const Kept& kept) const;

 private:
  KVHead& mutable_head(std::int64_t kv_head) const;
};

/// The whole cache after a pass that was to be followed by compression.
struct ContextView {
  const Model& model;
  KVCache& cache;
  std::span<const std::int32_t> tokens;  ///< of the text, from its first to the newest
  std::int64_t n_new = 0;                ///< the last so many came in the newest pass
  BudgetView budget;
  const Watcher* watcher = nullptr;
  std::int64_t first_carried = 0;  ///< channel of the cache where the press's own floats begin

  /// The press's own floats beside each entry of a head.
  std::span<float> carried(std::int64_t layer, std::int64_t kv_head, std::int64_t channel) const {
    return cache.head(layer, kv_head).carried(first_carried + channel);
  }
  /// Evicts everything else and frees it.
  void keep(std::int64_t layer, const Kept& kept) const;
};

/// What is known before the weights are loaded.
struct PressSetup {
  const ModelConfig& config;
  std::string model_name;                ///< as the user wrote it, for messages
  const Tokenizer* tokenizer = nullptr;  ///< null where there is none (random weights)
};

/// What a press answers with: what may be put inside which.
enum class PressKind : std::uint8_t {
  scores,     ///< score()
  selection,  ///< select()
  edit,       ///< compress()
  context     ///< compress_context()
};
std::string_view to_string(PressKind kind);

/// Whatever has parameters that can be written: name(parameter=value).
class Parameterized {
 public:
  virtual ~Parameterized() = default;
  virtual void visit_parameters(ParameterVisitor& /*visitor*/) {}
};

class Press : public Parameterized {
 public:
  /// A fresh copy in its initial state: every run takes one, so that nothing leaks from run to run.
  virtual std::unique_ptr<Press> clone() const = 0;
  virtual PressKind kind() const = 0;
  virtual PressNeeds needs() const { return {}; }
  /// Whether it brings the layer to budget.n_kept entries a head (or so many on average). Others go by a threshold or
  /// numbers of their own, or evict nothing.
  virtual bool follows_budget() const { return true; }

  /// Called once, before weights are loaded: reads the press's own files and checks that the model suits it. Throws
  /// UsageError or Error naming what is wrong. Copies share what was read.
  virtual void prepare(const PressSetup& /*setup*/) {}

  /// Shown every block of every layer, before any scoring, when needs().every_block is set.
  virtual void observe(const LayerView& /*layer*/) {}
  /// Shown what every layer has made of every block, when needs().layer_outputs is set: after observe() and compress()
  /// of that layer.
  virtual void observe_output(const LayerOutput& /*output*/) {}

  /// Fills scores, which come sized: one row a KV head, one value an entry.
  virtual void score(const LayerView& layer, Scores& scores);
  /// Which entries stay. As it is here: the budget.n_kept best scores of each head; nothing is scored where all fit.
  virtual Kept select(const LayerView& layer);
  /// Compresses one layer. As it is here: keeps what select() says.
  virtual void compress(const LayerView& layer);
  /// Compresses the whole cache, after the layers were compressed (by presses of the other kinds) or left.
  virtual void compress_context(const ContextView& /*context*/) {}
};

/// Derive from Scorer<YourPress>, Selector<YourPress>, Editor<YourPress> or ContextPress<YourPress> to get clone() from
/// the copy constructor, and the kind.
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

/// Scores of a layer, sized for the press and filled by it.
Scores scores_of(Press& press, const LayerView& layer);

/// The n_kept[h] best of each head (or n_kept of every head).
Kept best_of_each_head(const Scores& scores, std::int64_t n_kept);
Kept best_of_each_head(const Scores& scores, std::span<const std::int64_t> n_kept);

}  // namespace kvpress
