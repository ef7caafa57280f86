// The table of `kvpress compare`: presses at several ratios, sorted by KL, and their paired comparison.
#pragma once

#include <string>
#include <vector>

#include "kvpress/eval/experiment_info.h"
#include "kvpress/eval/run_summary.h"

namespace kvpress {

/// The experiment and its runs, each compared with the full cache.
struct ComparisonTable {
  ExperimentInfo experiment;
  RunSummary full;
  std::vector<RunSummary> runs;
  std::string against;  ///< the press that others are compared with pair by pair; empty: the best of each share

  /// Sorts the runs by what they evicted, and those that evicted nearly the same (ranking.h) by KL.
  void sort();
};

/// The table as text for terminals, as CSV, JSON and Markdown.
std::string as_text(const ComparisonTable& table);
std::string as_csv(const ComparisonTable& table);
std::string as_json(const ComparisonTable& table);
std::string as_markdown(const ComparisonTable& table);

}  // namespace kvpress
