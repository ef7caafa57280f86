// metrics.json of a run of a task, with the keys and numbers of kvpress's evaluation of the data set.
#pragma once

#include <string>
#include <vector>

#include "report/documents/json.h"
#include "tasks/task.h"

namespace kvpress {

/// `scorer` is a name of task_scorer(); `scores` are its scores of `predicted`, one per sample. METEOR and BERTScore of
/// LooGLE are not implemented: they need WordNet and a model.
Json task_metrics(const std::string& scorer, const std::vector<TaskSample>& samples,
                  const std::vector<std::string>& predicted, const std::vector<double>& scores);

}  // namespace kvpress
