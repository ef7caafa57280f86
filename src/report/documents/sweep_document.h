// All runs of a sweep as one JSON document and as CSV.
#pragma once

#include <string>
#include <vector>

#include "report/documents/json.h"

namespace kvpress {

/// A finished run: its names and its metrics.json.
struct SweepRecord {
  std::string folder;
  std::string dataset, protocol;
  int repeat = 0;
  Json metrics;
};

/// {"plan", "machine", "n_runs", "n_planned", "runs": [...]}. The repeats of a run are one row: the numbers of
/// the first repeat, the medians of times, and for each time `<name>_spread`, its minimum and maximum.
Json sweep_document(const Json& plan, const std::vector<SweepRecord>& records, std::size_t n_planned);

/// The runs of the document, one line each.
std::string sweep_csv(const Json& document);

}  // namespace kvpress
