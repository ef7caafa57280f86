// The tokens of a text that each layer and KV head keeps after compression, and a summary of them.
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
  /// heads[l * n_kv_heads + h]: the positions in the text that head h of layer l keeps, ascending.
  std::vector<std::vector<std::int32_t>> heads;
  /// The window of each layer, the next token's own place included; 0: none. Empty: no layer has one. A layer with a
  /// window is said to keep what the next token sees there.
  std::vector<std::int64_t> windows = {};

  std::int64_t window(std::int64_t layer) const { return windows.empty() ? 0 : windows[layer]; }
  const std::vector<std::int32_t>& head(std::int64_t layer, std::int64_t kv_head) const {
    return heads[layer * n_kv_heads + kv_head];
  }
  /// The layers whose heads count in means and summaries: those without a window, unless every layer has one. What a
  /// window lets go, no press has evicted.
  std::vector<std::int64_t> counted_layers() const;
  /// The number of heads that keep each token, [n_tokens].
  std::vector<std::int32_t> heads_by_token() const;
};

/// The kept tokens in the cache of a text of n_tokens.
KeptTokens kept_tokens(const KVCache& cache, std::int64_t n_tokens);

/// What a press scored each token of a text in each head when it last compressed the layer.
struct TokenScores {
  std::int64_t n_kv_heads = 0;
  /// heads[l * n_kv_heads + h][t], [n_tokens]; NaN for a token that had been evicted before. Empty if the press does
  /// not score, or was never asked.
  std::vector<std::vector<float>> heads;
};

/// Reads a text with a new sequence and returns its kept tokens. Compresses after each chunk of chunk_size tokens, as
/// protocol `chunked`; chunk_size 0 compresses once, after the whole text, as protocol `continuation`. Fills `scores`
/// if it is given. Throws UsageError for an empty text.
KeptTokens kept_tokens(const Model& model, std::span<const std::int32_t> ids, const CompressionSettings& settings,
                       std::int64_t chunk_size, const OnProgress& on_progress = {}, TokenScores* scores = nullptr);

/// The numbers of tokens at both ends of a text whose shares are reported.
inline constexpr std::int64_t kFirstTokens = 4;
inline constexpr std::int64_t kLastTokens = 64;

/// Of the heads of KeptTokens::counted_layers(). Shares are in [0, 1]. The overlap of two heads is the Jaccard index of
/// their tokens, and 1 if both are empty.
struct KeptSummary {
  double share = 0;              ///< of kept tokens, mean over heads
  std::int64_t n_heads = 0;      ///< that are counted
  std::int64_t smallest = 0;     ///< tokens in the smallest head
  std::int64_t largest = 0;      ///< tokens in the largest head
  std::int64_t by_all = 0;       ///< tokens that all heads keep
  std::int64_t by_none = 0;      ///< tokens that no head keeps
  double share_of_first = 0;     ///< kept of the first kFirstTokens (or of a shorter text), mean over heads
  double share_of_last = 0;      ///< kept of the last kLastTokens
  double overlap_in_layers = 0;  ///< mean over all pairs of heads of a layer; 1 for one head per layer
  double overlap = 0;            ///< mean over all pairs of heads; 1 for a single head
  /// The expected overlap of heads that keep `share` of the tokens at random: share / (2 - share).
  double overlap_by_chance = 0;
};
KeptSummary summary_of(const KeptTokens& kept);

}  // namespace kvpress
