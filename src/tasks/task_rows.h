// Samples from rows of data sets, in the columns of kvpress's evaluation.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/tokenizer/tokenizer.h"
#include "tasks/task.h"

namespace kvpress {

/// Each row is a JSON object, wherever it comes from, with the columns
///   context, question           strings; an empty context (math500) is joined with the question
///   answer or answers           a string, a number, or a list of them
///   answer_prefix, task         strings; may be missing (task is then `name`)
///   max_new_tokens              a number; missing: 50, as in kvpress's pipeline
///   all_classes, needle, length, difficulty   what some data sets have
/// Rows and columns of the table: the task. Throws Error naming `source` and the row's number, from 1.
TaskSet read_task_rows(std::span<const std::string> rows, const std::string& name, const std::string& source);

/// The lines of a .jsonl, also .gz, .xz, .zst, at most max_rows (0: all). Empty lines are left out.
std::vector<std::string> read_row_lines(const std::string& path, std::int64_t max_rows);

/// Rows of a data set of the hub, by its rows service (rows_service.h).
struct HubRows {
  std::string name;  ///< "hf:ORG/NAME/CONFIG/SPLIT"
  std::vector<std::string> rows;
};
/// dataset: "ORG/NAME". config and split may be empty. max_rows 0: all. Throws what RowsReader throws.
HubRows read_hub_rows(const std::string& dataset, const std::string& config, const std::string& split,
                      std::int64_t max_rows);

/// Where kvpress's evaluation has the rows of that scorer from: "simonjegou/ruler"; empty for a name it does not know.
std::string hub_dataset_of(std::string_view scorer);

/// kvpress's needle_in_haystack: the row's needle inside its context, at each depth of each length (tokens, of which
/// 150 are left for chat and question), between any two tokens. Throws UsageError when a length has no room for it.
TaskSet insert_needle(const TaskSample& row, const TaskGrid& grid, const Tokenizer& tokenizer);

}  // namespace kvpress
