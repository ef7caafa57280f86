#include "kvpress/eval/per_text.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace kvpress {
namespace {

/// P(|T| < t), by the finite series that there is for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4).
double student_within(double t, std::int64_t degrees) {
  const auto n = static_cast<double>(degrees);
  const double angle = std::atan(t / std::sqrt(n));
  const double cosine = std::cos(angle);
  const bool odd = degrees % 2 != 0;
  double term = odd ? cosine : 1.0;
  double sum = degrees > 1 ? term : 0.0;
  for (std::int64_t i = odd ? 3 : 2; i <= degrees - 2; i += 2) {
    term *= cosine * cosine * static_cast<double>(i - 1) / static_cast<double>(i);
    sum += term;
  }
  if (!odd) return std::sin(angle) * sum;
  return 2 / std::numbers::pi * (angle + std::sin(angle) * sum);
}

}  // namespace

std::vector<ScoredText> scored_texts(const RunResult& run) {
  std::vector<ScoredText> texts;
  for (const SegmentResult& it : run.segments) {  // in the order of the texts
    if (it.n_scored == 0) continue;
    if (texts.empty() || texts.back().text != it.text) {
      texts.push_back({it.text, static_cast<std::size_t>(it.first_scored), 0});
    }
    texts.back().count += static_cast<std::size_t>(it.n_scored);
  }
  return texts;
}

OverTexts over_texts(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  OverTexts result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  result.ci95 = {result.mean, result.mean};
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double it : values) squares += (it - result.mean) * (it - result.mean);
  result.sd = std::sqrt(squares / (n - 1));
  const double half = student_t95(static_cast<std::int64_t>(values.size()) - 1) * result.sd / std::sqrt(n);
  result.ci95 = {result.mean - half, result.mean + half};
  return result;
}

double student_t95(std::int64_t degrees) {
  double low = 1.9;  // the normal distribution's is 1.96
  double high = 13;  // that of one degree is 12.71
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_within(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace kvpress
