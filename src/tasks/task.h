// Tasks that measure the quality of a compressed cache: a context, a question and its answers. Generated tasks and rows
// of data sets have the same form.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

struct TaskSample {
  std::string task;           ///< "needle", or the task of the row, such as "niah_single_1"
  std::string context;        ///< prefilled, then compressed
  std::string question;       ///< read after the compression
  std::string answer_prefix;  ///< the beginning of the answer, given to the model
  std::vector<std::string> answers;
  std::int64_t max_new_tokens = 0;
  /// The cell in the table: a depth and a length, or the name of a task.
  std::string row, column;
  /// The expected score of a random choice among the candidates in the context.
  double chance = 0;

  // Columns of some data sets:
  std::string answer_json;               ///< the column "answer" as JSON: a number, a list or a string
  std::vector<std::string> all_classes;  ///< LongBench
  std::string needle;                    ///< needle_in_haystack
  std::string length, difficulty;        ///< LongBench-E (a number), LongBench-v2
};

/// Samples, and the names of the axes of their table.
struct TaskSet {
  std::string name;
  std::string row_axis = "task", column_axis;
  std::vector<TaskSample> samples;
};

/// The parameters of generated tasks.
struct TaskGrid {
  std::vector<std::int64_t> lengths;  ///< tokens of the whole context
  std::vector<double> depths;         ///< positions of the answer in the context, in [0, 1]
  std::vector<std::int64_t> hops;     ///< variable_tracking
  std::int64_t samples = 4;           ///< per cell
  std::int64_t needles = 1;           ///< needle: number of facts, one of which is asked for
  std::int64_t chains = 2;            ///< variable_tracking: number of values, one of which is asked for
  std::uint64_t seed = 0;
};

/// Throws UsageError that names the invalid option (--lengths, --depths, ...).
void check_grid(const TaskGrid& grid);

/// Returns the number of tokens of a context.
using CountTokens = std::function<std::int64_t(std::string_view context)>;

/// Inserts a fact (a code word and its number) between two sentences of a text at each depth and asks for it. Further
/// needles are at random positions. All depths and lengths of a sample share text and facts. The haystack is taken from
/// `text`, which is repeated if it is too short. The result depends only on grid, text and tokenizer. Throws UsageError
/// if the needles do not fit.
TaskSet make_needle_task(const TaskGrid& grid, std::string_view text, const CountTokens& count);

/// Fills the context with a list of code words and numbers and asks for the pair at each depth. All depths of a sample
/// share one context. Similar to niah_multikey_2 of RULER (https://arxiv.org/abs/2404.06654).
TaskSet make_kv_recall_task(const TaskGrid& grid, const CountTokens& count);

/// Distributes assignments over a text: variables are set to a number, others to these variables, hop by hop. Asks
/// which variables have a given number. Similar to vt of RULER. Rows are numbers of hops.
TaskSet make_variable_tracking_task(const TaskGrid& grid, std::string_view text, const CountTokens& count);

}  // namespace kvpress
