// ROUGE (Lin 2004, https://aclanthology.org/W04-1013) as in the Python package `rouge` 1.0.1, which the evaluation of
// kvpress uses. Sentences end at full stops, words at blanks; n-grams and words are counted once.
#pragma once

#include <string_view>

namespace kvpress {

struct RougeScore {
  double recall = 0, precision = 0, f1 = 0;
};

struct Rouge {
  RougeScore rouge_1, rouge_2, rouge_l;
};

/// All scores are 0 if a text has no sentence (the package throws, and its callers use 0). Time and memory are the
/// product of the numbers of words for each pair of sentences.
Rouge rouge(std::string_view hypothesis, std::string_view reference);

}  // namespace kvpress
