// Results text by text, and over texts: with several books each is one sample of what a model meets.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/eval/run.h"

namespace kvpress {

/// Where the scored tokens of a text lie in RunResult::nll. A text of which nothing is scored has none.
struct ScoredText {
  std::int64_t text = 0;  ///< its index
  std::size_t first = 0;
  std::size_t count = 0;
};
std::vector<ScoredText> scored_texts(const RunResult& run);

/// A measure over texts, each counted once, however long it is.
struct OverTexts {
  double mean = 0;
  std::array<double, 2> ci95{};  ///< of the mean, by Student's t: texts are independent, and often few
  double sd = 0;                 ///< the spread from text to text: the standard deviation of the sample
};
/// Of at least one value; of a single one the interval is the value twice and sd is 0.
OverTexts over_texts(std::span<const double> values);

/// The t that a Student-distributed value stays below, on both sides, with a probability of 95 %; degrees >= 1.
double student_t95(std::int64_t degrees);

}  // namespace kvpress
