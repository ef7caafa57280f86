// What a report can draw: the measures of quality and of cost, their names for people, and which way is better.
#pragma once

#include <string>
#include <vector>

#include "kvpress/report/run_rows.h"

namespace kvpress {

struct Measure {
  std::string key;    ///< in RunRow::numbers, or "compression_ratio"
  std::string label;  ///< of an axis
  std::string unit;   ///< "MiB", "s", "%"; may be empty
  double scale = 1;   ///< shown = scale * stored
  bool lower_is_better = true;
};

/// Of the measures of quality that the rows have, the most telling first: delta_nll, kl_full, perplexity,
/// top1_agreement, bits_per_byte, then benchmarks' scores (higher is better), their means over tasks before single
/// ones.
std::vector<Measure> quality_measures(const std::vector<RunRow>& rows);

/// The same of costs: compression_ratio (always), cache_bytes, total_runtime_sec and its parts, other memory.
std::vector<Measure> cost_measures(const std::vector<RunRow>& rows);

/// The row's value as shown, if it has it.
std::optional<double> value_of(const RunRow& row, const Measure& measure);
std::optional<Interval> interval_of(const RunRow& row, const Measure& measure);

}  // namespace kvpress
