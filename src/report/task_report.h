// The table of `kvpress task`: presses and ratios on one task, each cell beside the full cache's.
#pragma once

#include <string>
#include <vector>

#include "kvpress/eval/task.h"
#include "kvpress/eval/task_run.h"
#include "kvpress/eval/task_score.h"
#include "kvpress/report/run_document.h"

namespace kvpress {

/// A run of a task and its scores.
struct TaskOutcome {
  std::string press;
  double compression_ratio = 0;
  TaskRun run;
  std::vector<double> scores;   ///< one for each sample
  std::vector<TaskCell> cells;  ///< against the full cache
};

struct TaskReport {
  TaskSet set;
  TaskScorer scorer;
  Json about;  ///< model, dtype, seed, what the task is made of
  TaskOutcome full;
  std::vector<TaskOutcome> outcomes;

  /// "score", or "score|full" in per cent; in parentheses where the cell says nothing.
  static std::string cell_text(const TaskCell& cell, bool with_full);
};

/// The same for a terminal, a spreadsheet (a row for each press, ratio and cell) and a program.
std::string task_text(const TaskReport& report);
std::string task_csv(const TaskReport& report);
std::string task_json(const TaskReport& report);

/// A row for each sample: what was asked, answered and right. In kvpress's columns, and some more.
std::string task_predictions_csv(const TaskReport& report, const TaskOutcome& outcome);
/// What kvpress's config.yaml holds, and what the task is made of.
Json task_config(const TaskReport& report, const TaskOutcome& outcome);

}  // namespace kvpress
