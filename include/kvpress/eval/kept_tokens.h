// Which tokens of a text each layer and KV head still holds once a press has been at work, and what that looks like in
// numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/eval/run.h"
#include "kvpress/model/model.h"

namespace kvpress {

struct KeptTokens {
  std::int64_t n_tokens = 0;  ///< of the text
  std::int64_t n_layers = 0;
  std::int64_t n_kv_heads = 0;
  /// Of head h of layer l, at l * n_kv_heads + h: the places in the text that it holds, ascending.
  std::vector<std::vector<std::int32_t>> heads;

  const std::vector<std::int32_t>& head(std::int64_t layer, std::int64_t kv_head) const {
    return heads[layer * n_kv_heads + kv_head];
  }
  /// For each token of the text, how many heads hold it.
  std::vector<std::int32_t> heads_by_token() const;
};

/// What the cache of a text of n_tokens holds.
KeptTokens kept_tokens(const KVCache& cache, std::int64_t n_tokens);

/// Reads the text into a sequence of its own, as protocols `continuation` (in one prefill) and `chunked` do: chunk_size
/// tokens between compressions; 0: the whole text is read, then compressed once. Throws UsageError for an empty text.
KeptTokens kept_tokens(const Model& model, std::span<const std::int32_t> ids, const CompressionSettings& settings,
                       std::int64_t chunk_size, const OnProgress& on_progress = {});

/// Tokens at either end of a text whose share is told.
inline constexpr std::int64_t kFirstTokens = 4;
inline constexpr std::int64_t kLastTokens = 64;

/// Shares are of 1. The overlap of two heads is Jaccard's: tokens that both hold, of those that either holds; 1 where
/// neither holds any.
struct KeptSummary {
  double share = 0;           ///< of a head's tokens, mean over heads
  std::int64_t smallest = 0;  ///< tokens of the smallest head, and of the largest
  std::int64_t largest = 0;
  std::int64_t by_all = 0;    ///< tokens that every head holds, ...
  std::int64_t by_none = 0;   ///< ... and that none does
  double share_of_first = 0;  ///< of the first kFirstTokens, mean over heads; of the whole text where that is shorter
  double share_of_last = 0;   ///< of the last kLastTokens
  double overlap_in_layers = 0;  ///< mean over all pairs of heads of one layer; 1 where layers have one head
  double overlap = 0;            ///< mean over all pairs of heads; 1 where there is only one
  /// What heads that each hold `share` of the tokens by chance would come to: share / (2 - share).
  double overlap_by_chance = 0;
};
KeptSummary summary_of(const KeptTokens& kept);

}  // namespace kvpress
