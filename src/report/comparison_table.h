// The table of `kvpress compare`: presses and ratios on one text, the best first.
#pragma once

#include <string>
#include <vector>

#include "kvpress/report/run_document.h"

namespace kvpress {

/// What `kvpress compare` found out: the experiment, and its runs as describe_outcome() tells them.
struct ComparisonTable {
  Json experiment;  ///< describe_experiment()
  Json full;        ///< describe_run() of the full cache
  std::vector<Json> runs;

  /// By ratio, and within a ratio by KL.
  void sort();
};

/// The same table for a terminal, a spreadsheet, a program, and a page.
std::string as_text(const ComparisonTable& table);
std::string as_csv(const ComparisonTable& table);
std::string as_json(const ComparisonTable& table);
std::string as_markdown(const ComparisonTable& table);

}  // namespace kvpress
