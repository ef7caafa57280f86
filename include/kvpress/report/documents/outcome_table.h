// The outcomes of one data set as text for terminals.
#pragma once

#include <span>
#include <string>

#include "kvpress/eval/run_summary.h"

namespace kvpress {

/// One line per run.
std::string outcome_table(std::span<const RunSummary> runs);

/// The same outcomes per text and over texts; empty if there is only one text.
std::string texts_table(std::span<const RunSummary> runs);

/// A sentence on the presses nearest to and farthest from the full cache; empty if there are none.
std::string outcome_sentence(std::span<const RunSummary> runs);

}  // namespace kvpress
