// Prepares the texts of a data set for a run: joins, tokenizes and cuts them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/eval/run.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// Tokenizes the texts, puts around each what `bos` says, and cuts it after max_tokens (0: not cut). If the data set
/// has a separator, its texts are joined first, and no more rows are read than needed. Empty texts are dropped. Throws
/// UsageError if no text is left.
std::vector<TokenizedText> tokenize_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                                          std::int64_t max_tokens, BosChoice bos = BosChoice::automatic);

/// Bytes of a text that surely hold so many tokens: for TextRequest::max_bytes. 0 tokens, which stand for all: 0.
std::int64_t bytes_of_tokens(std::int64_t max_tokens);

/// A tokenized data set.
struct PreparedTexts {
  std::string name;
  std::vector<TokenizedText> texts;
  double tokenize_sec = 0;
  /// The tokens that were put before and after each text.
  std::vector<std::string> before, after;
  std::int64_t longest() const;
};
/// Takes max_tokens of each text; 0 takes whole texts. Without a value it takes default_tokens, limited to the trained
/// context for protocols that do not split texts. Leaves out texts that are too short for the protocol, with a warning,
/// where there are others. Throws UsageError if no token is left to score.
PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                            std::optional<std::int64_t> max_tokens, const ProtocolSettings& settings,
                            const ModelConfig& config, std::int64_t default_tokens = 0,
                            BosChoice bos = BosChoice::automatic);

}  // namespace kvpress
