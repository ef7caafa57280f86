// The table of `kvpress compare`: presses at several ratios, sorted by KL.
#pragma once

#include <string>
#include <vector>

#include "kvpress/report/run_document.h"

namespace kvpress {

/// The experiment and its runs, as describe_outcome() describes them.
struct ComparisonTable {
  Json experiment;  ///< describe_experiment()
  Json full;        ///< describe_run() of the full cache
  std::vector<Json> runs;

  /// Sorts the runs by ratio, and within a ratio by KL.
  void sort();
};

/// The table as text for terminals, as CSV, JSON and Markdown.
std::string as_text(const ComparisonTable& table);
std::string as_csv(const ComparisonTable& table);
std::string as_json(const ComparisonTable& table);
std::string as_markdown(const ComparisonTable& table);

}  // namespace kvpress
