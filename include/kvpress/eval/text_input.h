// From a data set's texts to what a run scores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/eval/run.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// The texts as the protocols read them: joined to one by the data set's separator when it has one, tokenized, and cut
/// after max_tokens each (0: not cut). Of rows that join no more are read than that takes. Empty texts are dropped.
/// Throws UsageError when nothing is left.
std::vector<TokenizedText> tokenize_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                                          std::int64_t max_tokens);

/// A data set made ready: tokenized, with the time it took.
struct PreparedTexts {
  std::string name;
  std::vector<TokenizedText> texts;
  double tokenize_sec = 0;
  std::int64_t longest() const;
};
/// Takes max_tokens of each text; 0: whole texts. Without a value it takes default_tokens, but no more than the trained
/// context where a protocol takes a text whole. Throws UsageError when that leaves nothing to score.
PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                            std::optional<std::int64_t> max_tokens, const ProtocolSettings& settings,
                            const ModelConfig& config, std::int64_t default_tokens = 0);

}  // namespace kvpress
