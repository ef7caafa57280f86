// Results per text, and statistics over texts. Each text is one independent sample.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/eval/run.h"

namespace kvpress {

/// The range of the scored tokens of a text in RunResult::nll. Texts without scored tokens are left out.
struct ScoredText {
  std::int64_t text = 0;  ///< its index
  std::size_t first = 0;
  std::size_t count = 0;
};
std::vector<ScoredText> scored_texts(const RunResult& run);

/// A measure over texts. Each text has the same weight, whatever its length.
struct OverTexts {
  double mean = 0;
  std::array<double, 2> ci95{};  ///< of the mean, by Student's t
  double sd = 0;                 ///< standard deviation of the sample
};
/// Takes at least one value. For a single value the interval is the value twice and sd is 0.
OverTexts over_texts(std::span<const double> values);

/// The two-sided 95 % quantile of Student's t distribution; degrees >= 1.
double student_t95(std::int64_t degrees);

}  // namespace kvpress
