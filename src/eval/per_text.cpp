#include "kvpress/eval/per_text.h"

#include <boost/math/distributions/students_t.hpp>

#include <cmath>
#include <numeric>

namespace kvpress {

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
  return boost::math::quantile(boost::math::students_t(static_cast<double>(degrees)), 0.975);
}

}  // namespace kvpress
