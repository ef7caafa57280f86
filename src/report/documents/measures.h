// The measures of quality and cost that a report can show, with labels and units.
#pragma once

#include <string>
#include <vector>

#include "report/documents/run_rows.h"

namespace kvpress {

struct Measure {
  std::string key;    ///< in RunRow::numbers, or "evicted_share"
  std::string label;  ///< for axes and tables
  std::string unit;   ///< "MiB", "s", "%"; may be empty
  double scale = 1;   ///< shown value = scale * stored value
  bool lower_is_better = true;
};

/// The measures of quality that the rows have, the most informative first: delta_nll, kl_full, perplexity,
/// top1_agreement, bits_per_byte, then scores of benchmarks (higher is better), means over tasks before single tasks.
std::vector<Measure> quality_measures(const std::vector<RunRow>& rows);

/// The measures of cost that the rows have: evicted_share (always; RunRow::evicted()), cache_bytes, total_runtime_sec
/// and its parts, other memory.
std::vector<Measure> cost_measures(const std::vector<RunRow>& rows);

/// The shown value and interval of a row; empty if it has none.
std::optional<double> value_of(const RunRow& row, const Measure& measure);
std::optional<Interval> interval_of(const RunRow& row, const Measure& measure);

}  // namespace kvpress
