// KVzip's scores (https://arxiv.org/abs/2505.23416, equation 2): the model is asked to repeat the text, chunk by chunk,
// and an entry is worth the largest weight that any query of the repetition gives it.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

class KVzipScores {
 public:
  std::int64_t n_sink = 4;         ///< first tokens, which every chunk's softmax counts
  std::int64_t chunk_size = 2048;  ///< tokens repeated at a time
  /// KVzip+ (https://arxiv.org/abs/2601.07891): weights are divided by the norm of what attention read for the query,
  /// and multiplied by the norm of what the entry's value adds to the residual stream, ||W_o v||.
  bool normalized = false;

  /// Turns the request into tokens. Without a tokenizer there is no request, only the text itself.
  void prepare(const PressSetup& setup);

  /// Scores what came since the last call, over the cache as it stands, into the first float that the press carries
  /// beside each entry. Older entries keep theirs.
  void update(const ContextView& context);

  /// The carried scores of all layers; those of the first n_sink tokens stand above all.
  std::vector<Scores> with_sinks_safe(const ContextView& context) const;

 private:
  struct Chunk;
  void score(const ContextView& context, const AttentionBlock& block, const Chunk& chunk) const;

  std::vector<std::int32_t> first_request_;  // before the text's first chunk
  std::vector<std::int32_t> later_request_;  // before the others; the end of the chunk before follows it
  std::vector<std::int32_t> suffix_;
  std::int64_t n_scored_ = 0;
};

}  // namespace kvpress
