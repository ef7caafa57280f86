// The output of `kvpress breakeven`: sentences, a table, JSON and CSV. Extrapolated numbers are marked in each of them.
#pragma once

#include <string>
#include <vector>

#include "eval/breakeven.h"
#include "report/documents/json.h"

namespace kvpress {

struct BreakEvenReport {
  Json about;                              ///< model, data set, dtypes, threads, version, settings
  std::vector<BreakEvenContext> contexts;  ///< by length; all with the same runs in the same order
  std::vector<std::int64_t> answers;       ///< lengths in tokens at which the saving is reported
  double tolerance = 0;                    ///< nats per token
};

/// The findings as sentences. For each context and press, one about the largest ratio within the tolerance (or else the
/// smallest ratio) and one about the tolerance; with several contexts, also one about the context length from which an
/// answer finishes sooner.
std::vector<std::string> break_even_sentences(const BreakEvenReport& report);

/// The same as a table for terminals and as JSON.
std::string break_even_table(const BreakEvenReport& report);
Json break_even_json(const BreakEvenReport& report);
/// A row for each context, press, ratio and answer.
std::string break_even_csv(const BreakEvenReport& report);

}  // namespace kvpress
