// A press says what in the cache is worth keeping. One method, one file: a struct of parameters with their defaults and
// a score. How many tokens stay is the budget's (press/budget.h), when that happens the protocol's; selecting, evicting
// and freeing memory are the compressor's (press/compressor.h).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/model/attention_listener.h"

namespace kvpress {

/// What a press wants gathered for it; nothing else is computed.
struct PressNeeds {
  std::int64_t recent_queries = 0;     ///< the last so many queries, after RoPE, across blocks
  bool queries = false;                ///< observe() reads every block's queries before RoPE
  bool accumulated_attention = false;  ///< the attention each token got so far, beside it in the cache
};

/// One layer after a block's attention. Views: valid during the call only.
struct LayerView {
  const AttentionBlock& block;
  std::int64_t n_seen = 0;                  ///< tokens of the text so far, evicted ones included
  std::int64_t n_kept = 0;                  ///< the budget: tokens that each head may keep
  std::uint64_t seed = 0;                   ///< of the run
  Matrix<const float> recent_queries = {};  ///< [<= needs().recent_queries, n_heads * head_dim], the newest last

  std::int64_t n_kv_heads() const { return block.config.n_kv_heads; }
  const KVHead& head(std::int64_t kv_head) const { return block.cache.head(block.layer, kv_head); }
};

/// scores[h][j]: the worth of entry j of KV head h. The highest are kept.
using Scores = std::vector<AlignedVector<float>>;

/// Called once per parameter by Press::visit_parameters: reads defaults, sets values, prints.
class ParameterVisitor {
 public:
  virtual ~ParameterVisitor() = default;
  virtual void integer(std::string_view name, std::int64_t& value, std::int64_t min, std::string_view meaning) = 0;
  virtual void real(std::string_view name, double& value, double min, std::string_view meaning) = 0;
  virtual void flag(std::string_view name, bool& value, std::string_view meaning) = 0;
  virtual void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t min,
                                std::string_view meaning) = 0;
};

class Press {
 public:
  virtual ~Press() = default;

  /// A fresh copy in its initial state: every run takes one, so that nothing leaks from run to run.
  virtual std::unique_ptr<Press> clone() const = 0;
  virtual void visit_parameters(ParameterVisitor& /*visitor*/) {}
  virtual PressNeeds needs() const { return {}; }

  /// Shown every block of every layer, before any scoring, when needs().queries is set.
  virtual void observe(const LayerView& /*layer*/) {}

  /// Fills scores, which come sized: one row a KV head, one value an entry.
  virtual void score(const LayerView& layer, Scores& scores) = 0;
};

/// Derive from Scorer<YourPress> to get clone() from the copy constructor.
template <typename Derived>
class Scorer : public Press {
 public:
  std::unique_ptr<Press> clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

}  // namespace kvpress
