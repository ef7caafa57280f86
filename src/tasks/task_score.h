// What answers are worth: a score for each, tables of them, and which cells of a table say something.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace kvpress {

/// How the answers of a data set are scored, in [0, 1] each.
struct TaskScorer {
  std::string_view name;     ///< as `kvpress task` and kvpress's evaluation know the data set
  std::string_view summary;  ///< for people
  /// What the full cache must clearly exceed for a comparison with it to say something.
  double floor;
  double (*score)(const TaskSample& sample, const std::string& predicted);
};

/// Those of the tasks made here and of kvpress's data sets. Throws UsageError naming those known.
const TaskScorer& task_scorer(const std::string& name);
std::vector<std::string_view> task_scorer_names();

/// The share of the answers that stand in the prediction by themselves, letters and digits next to them excluded.
double score_whole_answers(const TaskSample& sample, const std::string& predicted);

/// Wilson's interval of a share p of n answers: z = 1.96 for 95 %. Scores between 0 and 1 spread no more than shares.
std::array<double, 2> wilson_interval(double p, std::int64_t n, double z);

/// A cell of a task's table, with what the full cache makes of it.
struct TaskCell {
  std::string row, column;
  std::int64_t n = 0;
  double score = 0;
  double full = 0;
  double chance = 0;
  /// Whether the full cache is so near the floor that nothing can be said about a press there: the lower end of
  /// Wilson's one-sided 95 % interval of its score does not exceed the larger of the scorer's floor and the chance.
  bool says_nothing = false;
};

/// All of them together.
struct TaskSummary {
  std::int64_t n = 0;
  double score = 0;
  double full = 0;
  // Of the cells that say something:
  std::int64_t n_telling = 0;
  double telling_score = 0;
  double telling_full = 0;
  std::array<double, 2> telling_ci95{};  ///< of telling_score
};

/// Cells in the order in which the samples name them. `scores` and `full` hold one for each sample.
std::vector<TaskCell> task_cells(const std::vector<TaskSample>& samples, const std::vector<double>& scores,
                                 const std::vector<double>& full, double floor);
TaskSummary summarize(const std::vector<TaskCell>& cells);

}  // namespace kvpress
