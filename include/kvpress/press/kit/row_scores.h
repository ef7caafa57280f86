// Operations on rows of scores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// The scored entries [begin, end) of a head. Presses leave out their sinks.
struct EntryRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};
/// One range per KV head.
using EntryRanges = std::vector<EntryRange>;
EntryRanges all_entries(const LayerView& layer);
inline std::span<float> in_range(AlignedVector<float>& row, const EntryRange& range) {
  return std::span(row).subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size()));
}

/// Replaces each value by the mean over `width` neighbours, width / 2 of them before it. Padded with zeros.
void average_neighbours(std::span<float> values, std::int64_t width);

/// Scales the scores in the ranges, over all heads, to mean 0 and standard deviation 1. The divisor is at least 1e-6.
void standardize(Scores& scores, const EntryRanges& ranges);

}  // namespace kvpress
