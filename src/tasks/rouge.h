// ROUGE (Lin 2004, https://aclanthology.org/W04-1013) as the Python package `rouge` 1.0.1 computes it, which kvpress's
// evaluation calls: sentences end at every full stop, words at blanks, n-grams and words are counted once each.
#pragma once

#include <string_view>

namespace kvpress {

struct RougeScore {
  double recall = 0, precision = 0, f1 = 0;
};

struct Rouge {
  RougeScore rouge_1, rouge_2, rouge_l;
};

/// All zero where a text holds no sentence (the package throws there, and its callers take 0). Takes time and memory of
/// words x words for each pair of sentences.
Rouge rouge(std::string_view hypothesis, std::string_view reference);

}  // namespace kvpress
