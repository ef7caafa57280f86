#include "tasks/task_score.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "kvpress/base/error.h"
#include "tasks/dataset_scores.h"

namespace kvpress {
namespace {

constexpr double kMatchFloor = 0.25;
/// Overlaps of words are small numbers even for good answers.
constexpr double kOverlapFloor = 0.1;
/// One-sided 95 %.
constexpr double kOneSided = 1.6449;
constexpr double kTwoSided = 1.96;

constexpr TaskScorer kScorers[] = {
    {"needle", "whether the answer contains the number", kMatchFloor, score_whole_answers},
    {"kv_recall", "whether the answer contains the number", kMatchFloor, score_whole_answers},
    {"variable_tracking", "share of the variables that the answer contains", kMatchFloor, score_whole_answers},
    {"ruler", "share of the reference strings that the answer contains; for qa, whether it contains any", kMatchFloor,
     score_ruler},
    {"longbench", "the metric of each LongBench task", kOverlapFloor, score_longbench},
    {"longbench-e", "the metric of each LongBench task", kOverlapFloor, score_longbench_e},
    {"longbench-v2", "whether the letter is correct", kMatchFloor, score_longbench_v2},
    {"infinitebench", "the metric of each InfiniteBench task", kMatchFloor, score_infinitebench},
    {"loogle", "ROUGE-L recall; for cloze, the names", kOverlapFloor, score_loogle},
    {"needle_in_haystack", "ROUGE-L with the needle", kMatchFloor, score_needle_in_haystack},
    {"math500", "whether the boxed answer is correct", kMatchFloor, score_math500},
    {"aime25", "whether the boxed answer is correct", kMatchFloor, score_aime25},
};

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool stands_alone(const std::string& text, const std::string& word) {
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_alphanumeric(text[at - 1])) && (end == text.size() || !is_alphanumeric(text[end]))) return true;
  }
  return false;
}

}  // namespace

const TaskScorer& task_scorer(const std::string& name) {
  for (const TaskScorer& it : kScorers) {
    if (it.name == name) return it;
  }
  fail_usage("scorer '{}' is not known; known: {}", name, fmt::join(task_scorer_names(), ", "));
}

std::vector<std::string_view> task_scorer_names() {
  std::vector<std::string_view> names;
  for (const TaskScorer& it : kScorers) names.push_back(it.name);
  return names;
}

double score_whole_answers(const TaskSample& sample, const std::string& predicted) {
  double found = 0;
  for (const std::string& it : sample.answers) found += stands_alone(predicted, it) ? 1 : 0;
  return found / static_cast<double>(sample.answers.size());
}

std::array<double, 2> wilson_interval(double p, std::int64_t n, double z) {
  if (n == 0) return {0, 1};
  const double count = static_cast<double>(n);
  const double middle = p + z * z / (2 * count);
  const double half = z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  const double scale = 1 + z * z / count;
  return {std::max(0.0, (middle - half) / scale), std::min(1.0, (middle + half) / scale)};
}

std::vector<TaskCell> task_cells(const std::vector<TaskSample>& samples, const std::vector<double>& scores,
                                 const std::vector<double>& full, double floor) {
  std::vector<TaskCell> cells;
  std::map<std::pair<std::string, std::string>, std::size_t> index;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto [at, is_new] = index.try_emplace({samples[i].row, samples[i].column}, cells.size());
    if (is_new) cells.push_back({samples[i].row, samples[i].column});
    TaskCell& cell = cells[at->second];
    ++cell.n;
    cell.score += scores[i];
    cell.full += full[i];
    cell.chance += samples[i].chance;
  }
  for (TaskCell& cell : cells) {
    const double n = static_cast<double>(cell.n);
    cell.score /= n;
    cell.full /= n;
    cell.chance /= n;
    cell.says_nothing = wilson_interval(cell.full, cell.n, kOneSided)[0] <= std::max(floor, cell.chance);
  }
  return cells;
}

TaskSummary summarize(const std::vector<TaskCell>& cells) {
  TaskSummary sum;
  for (const TaskCell& cell : cells) {
    const double n = static_cast<double>(cell.n);
    sum.n += cell.n;
    sum.score += n * cell.score;
    sum.full += n * cell.full;
    if (cell.says_nothing) continue;
    sum.n_telling += cell.n;
    sum.telling_score += n * cell.score;
    sum.telling_full += n * cell.full;
  }
  if (sum.n > 0) {
    sum.score /= static_cast<double>(sum.n);
    sum.full /= static_cast<double>(sum.n);
  }
  if (sum.n_telling > 0) {
    sum.telling_score /= static_cast<double>(sum.n_telling);
    sum.telling_full /= static_cast<double>(sum.n_telling);
  }
  sum.telling_ci95 = wilson_interval(sum.telling_score, sum.n_telling, kTwoSided);
  return sum;
}

}  // namespace kvpress
