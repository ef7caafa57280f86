#include "model/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace kvpress {

YarnRange yarn_range(std::int64_t rotary_dim, double base, double original_context, double beta_fast, double beta_slow,
                     bool truncate) {
  const auto dim = static_cast<double>(rotary_dim);
  const auto turns_so_often = [&](double turns) {
    return dim * std::log(original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
  };
  YarnRange range{turns_so_often(beta_fast), turns_so_often(beta_slow)};
  if (truncate) range = {std::floor(range.first), std::ceil(range.last)};
  return {std::max(range.first, 0.0), std::min(range.last, dim - 1)};
}

void scale_by_yarn(std::vector<float>& inverse_frequencies, double factor, double first, double width, double mix) {
  for (std::size_t i = 0; i < inverse_frequencies.size(); ++i) {
    const double divided = std::clamp((static_cast<double>(i) - first) / width, 0.0, 1.0);
    const double kept = (1 - divided) * mix;
    const auto frequency = static_cast<double>(inverse_frequencies[i]);
    inverse_frequencies[i] = static_cast<float>(frequency / factor * (1 - kept) + frequency * kept);
  }
}

double yarn_attention_factor(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

}  // namespace kvpress
