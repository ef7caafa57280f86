// The median: what a repeated time is told by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace kvpress {

/// The middle value, or the mean of the two in the middle. At least one value is needed.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

}  // namespace kvpress
