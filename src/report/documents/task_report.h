// The output of `kvpress task`: presses at several ratios on one task, compared cell by cell with the full cache.
#pragma once

#include <string>
#include <vector>

#include "report/documents/json.h"
#include "tasks/task.h"
#include "tasks/task_run.h"
#include "tasks/task_score.h"

namespace kvpress {

/// A run of a task and its scores.
struct TaskOutcome {
  std::string press;
  double compression_ratio = 0;
  TaskRun run;
  std::vector<double> scores;   ///< one per sample
  std::vector<TaskCell> cells;  ///< compared with the full cache
};

struct TaskReport {
  TaskSet set;
  TaskScorer scorer;
  Json about;  ///< model, dtype, seed, settings of the task
  TaskOutcome full;
  std::vector<TaskOutcome> outcomes;

  /// "score", or "score|full" in percent; in parentheses if the cell is not informative.
  static std::string cell_text(const TaskCell& cell, bool with_full);
};

/// The report as text for terminals, as CSV (a row for each press, ratio and cell) and as JSON.
std::string task_text(const TaskReport& report);
std::string task_csv(const TaskReport& report);
std::string task_json(const TaskReport& report);

/// predictions.csv: a row per sample with question, answer and expected answer, in kvpress's columns and further ones.
std::string task_predictions_csv(const TaskReport& report, const TaskOutcome& outcome);
/// config.yaml: the keys of kvpress's evaluation and the settings of the task.
Json task_config(const TaskReport& report, const TaskOutcome& outcome);

}  // namespace kvpress
