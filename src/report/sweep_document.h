// All runs of a sweep in one document, and as a table for spreadsheets.
#pragma once

#include <string>
#include <vector>

#include "kvpress/report/run_document.h"

namespace kvpress {

/// A finished run: what names it, and its metrics.json.
struct SweepRecord {
  std::string folder;
  std::string dataset, protocol;
  int repeat = 0;
  Json metrics;
};

/// {"plan", "machine", "n_runs", "n_planned", "runs": [...]}. A run that was repeated is one row: the numbers of its
/// first repetition, its times' medians, and beside each time `<name>_spread`, the lowest and the highest.
Json sweep_document(const Json& plan, const std::vector<SweepRecord>& records, std::size_t n_planned);

/// Its runs, a line each.
std::string sweep_csv(const Json& document);

}  // namespace kvpress
