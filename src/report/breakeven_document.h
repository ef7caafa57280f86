// What `kvpress breakeven` tells: sentences a person can quote, a table, and the same as JSON and CSV. A number that
// was computed from measured costs per token, and not measured, is marked so in each of them.
#pragma once

#include <string>
#include <vector>

#include "kvpress/eval/breakeven.h"
#include "kvpress/report/run_document.h"

namespace kvpress {

struct BreakEvenReport {
  Json about;                              ///< model, data set, dtypes, threads, version, settings
  std::vector<BreakEvenContext> contexts;  ///< by length; all with the same runs in the same order
  std::vector<std::int64_t> answers;       ///< lengths at which the saving is told
  double tolerance = 0;                    ///< nats per token
};

/// The answer in words. For each context and press one sentence about the ratio that a person would take (the largest
/// within the tolerance, or else the smallest asked for) and one about the tolerance; with several contexts also from
/// which one on an answer comes sooner.
std::vector<std::string> break_even_sentences(const BreakEvenReport& report);

std::string break_even_table(const BreakEvenReport& report);
Json break_even_json(const BreakEvenReport& report);
/// A row for each context, press, ratio and answer.
std::string break_even_csv(const BreakEvenReport& report);

}  // namespace kvpress
