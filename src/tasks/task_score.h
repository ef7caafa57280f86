// Scores of answers, and tables of scores with informative and uninformative cells.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace kvpress {

/// The scorer of a data set. Scores are in [0, 1].
struct TaskScorer {
  std::string_view name;     ///< the name of the data set in `kvpress task` and kvpress's evaluation
  std::string_view summary;  ///< one line
  /// The score that the full cache must clearly exceed for a comparison to be informative.
  double floor;
  double (*score)(const TaskSample& sample, const std::string& predicted);
};

/// The scorers of generated tasks and of kvpress's data sets. Throws UsageError that lists the known names.
const TaskScorer& task_scorer(const std::string& name);
std::vector<std::string_view> task_scorer_names();

/// The share of the answers that occur in the prediction as whole words, without adjacent letters or digits.
double score_whole_answers(const TaskSample& sample, const std::string& predicted);

/// The Wilson score interval of a share p of n answers; z = 1.96 for 95 %. Also valid for means of scores in [0, 1],
/// which vary no more than shares.
std::array<double, 2> wilson_interval(double p, std::int64_t n, double z);

/// A cell of the table of a task, with the score of the full cache.
struct TaskCell {
  std::string row, column;
  std::int64_t n = 0;
  double score = 0;
  double full = 0;
  double chance = 0;
  /// Whether the cell is not informative, because the full cache is near the floor: the lower end of the one-sided 95 %
  /// Wilson interval of its score does not exceed the floor of the scorer or the chance.
  bool says_nothing = false;
};

/// The scores over all cells.
struct TaskSummary {
  std::int64_t n = 0;
  double score = 0;
  double full = 0;
  // Only informative cells:
  std::int64_t n_telling = 0;
  double telling_score = 0;
  double telling_full = 0;
  std::array<double, 2> telling_ci95{};  ///< of telling_score
};

/// The cells, in the order of the samples. `scores` and `full` have one score per sample.
std::vector<TaskCell> task_cells(const std::vector<TaskSample>& samples, const std::vector<double>& scores,
                                 const std::vector<double>& full, double floor);
TaskSummary summarize(const std::vector<TaskCell>& cells);

}  // namespace kvpress
