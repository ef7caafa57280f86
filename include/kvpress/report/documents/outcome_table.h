// The outcomes of one data set as text for terminals.
#pragma once

#include <span>
#include <string>

#include "kvpress/eval/run_summary.h"

namespace kvpress {

/// One line per run, with a column of what was really evicted where that is not the ratio asked for. Below it, if
/// several presses evicted nearly the same share, how each compares with the nearest to the full cache.
std::string outcome_table(std::span<const RunSummary> runs);

/// The same outcomes per text and over texts; empty if there is only one text.
std::string texts_table(std::span<const RunSummary> runs);

/// A sentence, a line each, for every share of the cache that was evicted: which presses are nearest to and farthest
/// from the full cache by KL, and which are tied. Presses that evicted nothing are not ranked. Empty without any.
std::string outcome_sentence(std::span<const RunSummary> runs);

}  // namespace kvpress
