// The scores of KVzip (https://arxiv.org/abs/2505.23416, equation 2). The model is prompted to repeat the text chunk by
// chunk. The score of an entry is its largest attention weight over the queries of the repetition.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

class KVzipScores {
 public:
  std::int64_t n_sink = 4;         ///< first tokens, part of the softmax of every chunk
  std::int64_t chunk_size = 2048;  ///< tokens per repetition
  /// KVzip+ (https://arxiv.org/abs/2601.07891): weights are divided by the norm of the attention output of the query
  /// and multiplied by ||W_o v||, the norm of the contribution of the value to the residual stream.
  bool normalized = false;

  /// Tokenizes the prompt. Without a tokenizer there is no prompt, only the text.
  void prepare(const PressSetup& setup);

  void visit_state(StateVisitor& visitor);

  /// Scores the tokens since the last call over the current cache. Writes the scores to the first carried float of each
  /// entry. Scores of older entries do not change.
  void update(const ContextView& context);

  /// The carried scores of all layers. The first n_sink tokens get scores above all others.
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
