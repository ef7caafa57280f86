// From a data set's texts to what a run scores.
#pragma once

#include <cstdint>
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

}  // namespace kvpress
