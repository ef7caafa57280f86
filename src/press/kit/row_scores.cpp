#include "kvpress/press/kit/row_scores.h"

#include <algorithm>
#include <cmath>

namespace kvpress {

EntryRanges all_entries(const LayerView& layer) {
  EntryRanges ranges;
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) ranges.push_back({0, layer.head(h).size()});
  return ranges;
}

void average_neighbours(std::span<float> values, std::int64_t width) {
  const auto n = static_cast<std::int64_t>(values.size());
  const std::int64_t reach = width / 2;
  const AlignedVector<float> raw(values.begin(), values.end());
  for (std::int64_t j = 0; j < n; ++j) {
    float sum = 0;
    const std::int64_t end = std::min(n, j - reach + width);
    for (std::int64_t i = std::max<std::int64_t>(0, j - reach); i < end; ++i) sum += raw[i];
    values[j] = sum / static_cast<float>(width);
  }
}

void standardize(Scores& scores, const EntryRanges& ranges) {
  double sum = 0;
  double count = 0;
  for (std::size_t h = 0; h < scores.size(); ++h) {
    for (const float value : in_range(scores[h], ranges[h])) sum += value;
    count += static_cast<double>(ranges[h].size());
  }
  const double mean = sum / std::max(1.0, count);
  double squares = 0;
  for (std::size_t h = 0; h < scores.size(); ++h) {
    for (const float value : in_range(scores[h], ranges[h])) squares += (value - mean) * (value - mean);
  }
  const double deviation = std::max(std::sqrt(squares / std::max(1.0, count - 1)), 1e-6);
  for (std::size_t h = 0; h < scores.size(); ++h) {
    for (float& value : in_range(scores[h], ranges[h])) value = static_cast<float>((value - mean) / deviation);
  }
}

}  // namespace kvpress
