// How runs that evicted nearly the same share compare with the best of them, or with one that is named.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kvpress/eval/run_summary.h"
#include "report/documents/json.h"
#include "report/documents/ranking.h"

namespace kvpress {

/// Cells of a table, the first row its heading; empty rows stand between groups. No rows if no two runs can be
/// compared.
std::vector<std::vector<std::string>> paired_rows(std::span<const RankedGroup> groups);

/// What the differences are and how they were taken, for above the table.
std::string paired_heading(std::span<const RankedGroup> groups);

/// Heading and table for terminals; empty if no two runs can be compared.
std::string paired_text(std::span<const RankedGroup> groups);

/// {"against", "compression_ratio", "delta_nll", "delta_nll_ci95", "delta_nll_tied", "kl", "kl_ci95", "kl_tied"} of a
/// run; null if it is not compared. Intervals and ties are null for a single unit.
Json paired_json(std::span<const RankedGroup> groups, const RunSummary& run);

/// The same as cells of CSV, a comma before each, and their names.
std::string paired_csv(const Json& paired);
std::string paired_csv_names();

}  // namespace kvpress
