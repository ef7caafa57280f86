// Reads samples from rows of data sets, with the columns of kvpress's evaluation.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/tokenizer/tokenizer.h"
#include "tasks/task.h"

namespace kvpress {

/// Reads rows. Each is a JSON object with the columns
///   context, question           strings; an empty context (math500) is joined with the question
///   answer or answers           a string, a number, or a list of them
///   answer_prefix, task         strings; may be missing (task is then `name`)
///   max_new_tokens              a number; missing: 50, as in kvpress's pipeline
///   all_classes, needle, length, difficulty   in some data sets
/// The table has one row per task. Throws Error that names `source` and the number of the row, from 1.
TaskSet read_task_rows(std::span<const std::string> rows, const std::string& name, const std::string& source);

/// Reads the lines of a .jsonl, also compressed (.gz, .xz, .zst), at most max_rows (0: all). Skips empty lines.
std::vector<std::string> read_row_lines(const std::string& path, std::int64_t max_rows);

/// Rows of a data set of the hub, read from its rows service (rows_service.h).
struct HubRows {
  std::string name;  ///< "hf:ORG/NAME/CONFIG/SPLIT"
  std::vector<std::string> rows;
};
/// `dataset` is "ORG/NAME". config and split may be empty. max_rows 0 reads all rows. Throws as RowsReader.
HubRows read_hub_rows(const std::string& dataset, const std::string& config, const std::string& split,
                      std::int64_t max_rows);

/// The data set of the hub that kvpress's evaluation uses for a scorer: "simonjegou/ruler". Empty for an unknown name.
std::string hub_dataset_of(std::string_view scorer);

/// needle_in_haystack of kvpress: inserts the needle of the row into its context at each depth of each length, between
/// any two tokens. Lengths are in tokens; 150 of them are reserved for chat and question. Throws UsageError if a length
/// is too short.
TaskSet insert_needle(const TaskSample& row, const TaskGrid& grid, const Tokenizer& tokenizer);

}  // namespace kvpress
