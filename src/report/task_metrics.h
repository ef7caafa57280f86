// metrics.json of a task's run: the keys and numbers that kvpress's evaluation gives for the data set.
#pragma once

#include <string>
#include <vector>

#include "kvpress/eval/task.h"
#include "kvpress/report/run_document.h"

namespace kvpress {

/// `scorer` is a name of task_scorer(); `scores` are its scores of `predicted`, one for each sample. Of LooGLE METEOR
/// and BERTScore are left out: they need WordNet and a model.
Json task_metrics(const std::string& scorer, const std::vector<TaskSample>& samples,
                  const std::vector<std::string>& predicted, const std::vector<double>& scores);

}  // namespace kvpress
