// The median, used for repeated time measurements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace kvpress {

/// The middle value, or the mean of the two middle values. `values` must not be empty.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

}  // namespace kvpress
