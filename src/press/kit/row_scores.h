// What presses do to rows of scores once they are there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Entries [begin, end) of one head: those that are scored, where a press leaves out its sinks.
struct EntryRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};
/// One a KV head.
using EntryRanges = std::vector<EntryRange>;
EntryRanges all_entries(const LayerView& layer);
inline std::span<float> in_range(AlignedVector<float>& row, const EntryRange& range) {
  return std::span(row).subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size()));
}

/// The mean over `width` neighbours, width / 2 of them before; beyond the ends there are zeros, which count.
void average_neighbours(std::span<float> values, std::int64_t width);

/// Scores in the ranges, of all heads together, to mean 0 and standard deviation 1 (which is taken as at least 1e-6).
void standardize(Scores& scores, const EntryRanges& ranges);

}  // namespace kvpress
