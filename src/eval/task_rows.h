// Samples from rows of data sets, in the columns of kvpress's evaluation.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kvpress/eval/task.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// Each row is a JSON object, wherever it comes from, with the columns
///   context, question           strings; a context may be empty where there is a question (math500): they are joined
///   then answer or answers           a string, a number, or a list of them answer_prefix, task         strings; may be
///   missing (task is then `name`) max_new_tokens              a number; missing: 50, as in kvpress's pipeline
///   all_classes, needle, length, difficulty   what some data sets have
/// Rows and columns of the table: the task. Throws Error naming `source` and the row's number, from 1.
TaskSet read_task_rows(std::span<const std::string> rows, const std::string& name, const std::string& source);

/// The lines of a .jsonl, also .gz, .xz, .zst, at most max_rows (0: all). Empty lines are left out.
std::vector<std::string> read_row_lines(const std::string& path, std::int64_t max_rows);

/// kvpress's needle_in_haystack: the row's needle inside its context, at each depth of each length (tokens, of which
/// 150 are left for chat and question), between any two tokens. Throws UsageError when a length has no room for it.
TaskSet insert_needle(const TaskSample& row, const TaskGrid& grid, const Tokenizer& tokenizer);

}  // namespace kvpress
