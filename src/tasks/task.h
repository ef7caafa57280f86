// Tasks: a text, a question about it and its answers, by which a compressed cache is judged. Those that are made here,
// and rows of data sets, look the same.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

struct TaskSample {
  std::string task;           ///< "needle", or what the row says: RULER's "niah_single_1"
  std::string context;        ///< prefilled, then compressed
  std::string question;       ///< read over the compressed cache
  std::string answer_prefix;  ///< put into the model's mouth
  std::vector<std::string> answers;
  std::int64_t max_new_tokens = 0;
  /// Where it stands in the table: a depth and a length, or a task's name.
  std::string row, column;
  /// What a blind pick among what the context offers would score.
  double chance = 0;

  // What only some data sets have.
  std::string answer_json;               ///< the column "answer" as it stood: numbers and lists are scored as such
  std::vector<std::string> all_classes;  ///< LongBench
  std::string needle;                    ///< needle_in_haystack
  std::string length, difficulty;        ///< LongBench-E (a number), LongBench-v2
};

/// Samples, and what rows and columns of their table are.
struct TaskSet {
  std::string name;
  std::string row_axis = "task", column_axis;
  std::vector<TaskSample> samples;
};

/// What the tasks made here are made of.
struct TaskGrid {
  std::vector<std::int64_t> lengths;  ///< tokens of the context, all that is prefilled
  std::vector<double> depths;         ///< in [0, 1]: where in the context the answer stands
  std::vector<std::int64_t> hops;     ///< variable_tracking
  std::int64_t samples = 4;           ///< a cell
  std::int64_t needles = 1;           ///< needle: how many facts are hidden, of which one is asked for
  std::int64_t chains = 2;            ///< variable_tracking: how many values go around, of which one is asked for
  std::uint64_t seed = 0;
};

/// Throws UsageError naming the option (--lengths, --depths, ...) whose value makes no sense.
void check_grid(const TaskGrid& grid);

/// Tokens of a context as it is prefilled.
using CountTokens = std::function<std::int64_t(std::string_view context)>;

/// A fact (a code word and its number) is put between two sentences of a text at each depth, and asked for. With more
/// needles than one, others like it stand at random places. Depths and lengths of one sample share text and facts.
/// `text` is what the haystack is taken from; where it is too short it is repeated. The same grid, text and tokenizer
/// give the same bytes everywhere. Throws UsageError when the needles do not fit.
TaskSet make_needle_task(const TaskGrid& grid, std::string_view text, const CountTokens& count);

/// A list of code words and numbers that fills the context; the pair at each depth is asked for. The depths of a sample
/// share one context. In the manner of RULER's niah_multikey_2 (https://arxiv.org/abs/2404.06654).
TaskSet make_kv_recall_task(const TaskGrid& grid, const CountTokens& count);

/// Variables that are set to a number, and others that are set to those, hop by hop, strewn over a text: which are
/// worth the number? In the manner of RULER's vt. Rows are numbers of hops.
TaskSet make_variable_tracking_task(const TaskGrid& grid, std::string_view text, const CountTokens& count);

}  // namespace kvpress
