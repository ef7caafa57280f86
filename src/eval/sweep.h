// The runs of a sweep: every press at every ratio, on every data set under every protocol, as often as asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kvpress {

/// What is varied. Presses, data sets and protocols by the names users write.
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

/// "0.0:0.9:0.1,0.25" is 0, 0.1, ... 0.9 and 0.25: numbers and first:last:step, by commas, the last one included.
/// Sorted. Throws UsageError naming `option` for what is no number, no step, out of [0, 1), or named twice.
std::vector<double> parse_ratios(const std::string& text, const std::string& option);

/// All runs: one experiment (data set and protocol) after another, since each has its own full cache to compare with;
/// the runs of an experiment in an order drawn with the grid's seed, the same on every machine, so that what a machine
/// does besides falls on all presses alike. A press that decides without a ratio runs once, at 0. Throws UsageError for
/// an empty grid, a press that is not known, and what is named twice.
std::vector<SweepRun> sweep_runs(const SweepGrid& grid);

/// The part of n runs that slice i of k does: [first, last). Contiguous, so that a slice has few experiments.
struct SweepSlice {
  std::size_t first = 0;
  std::size_t last = 0;
};
SweepSlice slice_of(std::size_t n, std::size_t i, std::size_t k);

}  // namespace kvpress
