// The runs of a sweep: each press at each ratio, on each data set under each protocol, with repeats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kvpress {

/// The grid of a sweep. Presses, data sets and protocols have the names that users write.
struct SweepGrid {
  std::vector<std::string> datasets;
  std::vector<std::string> protocols;
  std::vector<std::string> presses;  ///< without no_press, which is always run
  std::vector<double> ratios;
  int repeats = 1;
  std::uint64_t seed = 0;
};

struct SweepRun {
  std::size_t dataset = 0;   ///< index into SweepGrid::datasets
  std::size_t protocol = 0;  ///< index into SweepGrid::protocols
  std::string press;         ///< "no_press": the full cache
  double ratio = 0;
  int repeat = 0;

  bool same_experiment(const SweepRun& other) const { return dataset == other.dataset && protocol == other.protocol; }
};

/// Parses numbers and ranges first:last:step (with last), separated by commas: "0.0:0.9:0.1,0.25" is 0, 0.1, ..., 0.9
/// and 0.25. The result is sorted. Throws UsageError that names `option` for an invalid number or step, a number
/// outside [0, 1), or a duplicate.
std::vector<double> parse_ratios(const std::string& text, const std::string& option);

/// All runs, grouped by experiment (data set and protocol). Within an experiment their order is random, so that other
/// load on the machine affects all presses alike; it depends only on the seed. A press that does not use the ratio runs
/// once, at 0. Throws UsageError for an empty grid, an unknown press, or duplicates.
std::vector<SweepRun> sweep_runs(const SweepGrid& grid);

/// The runs [first, last) of a slice.
struct SweepSlice {
  std::size_t first = 0;
  std::size_t last = 0;
};
/// Slice i of k of n runs. Slices are contiguous, so that each has few experiments.
SweepSlice slice_of(std::size_t n, std::size_t i, std::size_t k);

}  // namespace kvpress
