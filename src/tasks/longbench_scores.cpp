// LongBench (https://arxiv.org/abs/2308.14508): a formula for each of its tasks.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "kvpress/base/error.h"
#include "tasks/answer_text.h"
#include "tasks/dataset_scores.h"
#include "tasks/rouge.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

using Score = double (*)(const std::string& predicted, const std::string& truth, const TaskSample& sample);

double f1(const std::string& predicted, const std::string& truth, const TaskSample&) {
  return token_f1(split_words(normalize_answer(predicted)), split_words(normalize_answer(truth)));
}

double rouge_l(const std::string& predicted, const std::string& truth, const TaskSample&) {
  return rouge(predicted, truth).rouge_l.f1;
}

/// The share of the numbers in the prediction that are the right one.
double share_of_numbers(const std::string& predicted, const std::string& right) {
  const std::vector<std::string> numbers = digit_runs(predicted);
  if (numbers.empty()) return 0;
  return static_cast<double>(std::count(numbers.begin(), numbers.end(), right)) / static_cast<double>(numbers.size());
}

double count(const std::string& predicted, const std::string& truth, const TaskSample&) {
  return share_of_numbers(predicted, truth);
}

double retrieval_after(std::string_view word, const std::string& predicted, const std::string& truth,
                       const TaskSample& sample) {
  for (std::size_t at = truth.find(word); at != std::string::npos; at = truth.find(word, at + 1)) {
    const std::string rest = truth.substr(at + word.size());
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return share_of_numbers(predicted, digit_runs(rest)[0]);
  }
  fail_usage("task {}: the answer '{}' names no paragraph", sample.task, truth);
}
double retrieval(const std::string& predicted, const std::string& truth, const TaskSample& sample) {
  return retrieval_after("Paragraph ", predicted, truth, sample);
}
double retrieval_zh(const std::string& predicted, const std::string& truth, const TaskSample& sample) {
  return retrieval_after("段落", predicted, truth, sample);
}

double code(const std::string& predicted, const std::string& truth, const TaskSample&) {
  const auto first = std::min(predicted.find_first_not_of('\n'), predicted.size());
  for (const std::string& line : split_at(std::string_view(predicted).substr(first), '\n')) {
    if (line.find('`') == std::string::npos && line.find('#') == std::string::npos &&
        line.find("//") == std::string::npos) {
      return similarity_percent(line, truth) / 100.0;
    }
  }
  return similarity_percent("", truth) / 100.0;
}

double classification(const std::string& predicted, const std::string& truth, const TaskSample& sample) {
  if (sample.all_classes.empty()) fail_usage("task {}: a row has no all_classes", sample.task);
  std::vector<std::string> named;
  for (const std::string& it : sample.all_classes) {
    if (predicted.find(it) != std::string::npos) named.push_back(it);
  }
  // LongBench takes names out of the list that it walks, and so passes over the one behind each.
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (named[i] == truth || truth.find(named[i]) == std::string::npos) continue;
    named.erase(std::find(named.begin(), named.end(), named[i]));
  }
  const bool right = std::find(named.begin(), named.end(), truth) != named.end();
  return right ? 1.0 / static_cast<double>(named.size()) : 0.0;
}

struct Formula {
  std::string_view task;
  Score score;
};
constexpr Formula kFormulas[] = {
    {"narrativeqa", f1},
    {"qasper", f1},
    {"multifieldqa_en", f1},
    {"hotpotqa", f1},
    {"2wikimqa", f1},
    {"musique", f1},
    {"gov_report", rouge_l},
    {"qmsum", rouge_l},
    {"multi_news", rouge_l},
    {"trec", classification},
    {"triviaqa", f1},
    {"samsum", rouge_l},
    {"lsht", classification},
    {"passage_retrieval_en", retrieval},
    {"passage_count", count},
    {"passage_retrieval_zh", retrieval_zh},
    {"lcc", code},
    {"repobench-p", code},
};

Score formula_of(const std::string& task) {
  std::vector<std::string_view> known;
  for (const Formula& it : kFormulas) {
    if (it.task == task) return it.score;
    known.push_back(it.task);
  }
  for (const std::string_view it : {"multifieldqa_zh", "dureader", "vcsum"}) {
    if (it == task) fail_usage("task {}: its score needs a Chinese segmenter, which is not implemented", task);
  }
  fail_usage("task {}: is not a task of LongBench; known: {}", task, fmt::join(known, ", "));
}

/// Answers of these tasks are a line.
bool is_one_line(const std::string& task) {
  return task == "trec" || task == "triviaqa" || task == "samsum" || task == "lsht";
}

std::string without_front(const std::string& text, bool newlines_only) {
  if (newlines_only) return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
  const std::string_view rest = stripped(text);
  return rest.empty() ? std::string() : text.substr(static_cast<std::size_t>(rest.data() - text.data()));
}

double best(const std::string& task, const std::string& predicted, const TaskSample& sample) {
  const Score score = formula_of(task);
  double result = 0;
  for (const std::string& it : sample.answers) result = std::max(result, score(predicted, it, sample));
  return result;
}

/// difflib's matching blocks: the longest common run, the earliest in a and then in b, and so on to both sides of it.
class Matcher {
 public:
  Matcher(std::u32string a, std::u32string b) : a_(std::move(a)), b_(std::move(b)) {
    for (std::size_t j = 0; j < b_.size(); ++j) places_[b_[j]].push_back(j);
    // Of long texts, characters that come often are not looked for ("autojunk").
    if (b_.size() >= 200) {
      const std::size_t often = b_.size() / 100 + 1;
      std::erase_if(places_, [&](const auto& it) { return it.second.size() > often; });
    }
  }

  std::size_t n_matching() const {
    std::size_t total = 0;
    std::vector<std::array<std::size_t, 4>> left = {{0, a_.size(), 0, b_.size()}};
    while (!left.empty()) {
      const auto [a_low, a_high, b_low, b_high] = left.back();
      left.pop_back();
      const auto [i, j, n] = longest(a_low, a_high, b_low, b_high);
      if (n == 0) continue;
      total += n;
      left.push_back({a_low, i, b_low, j});
      left.push_back({i + n, a_high, j + n, b_high});
    }
    return total;
  }

 private:
  std::array<std::size_t, 3> longest(std::size_t a_low, std::size_t a_high, std::size_t b_low,
                                     std::size_t b_high) const {
    std::size_t best_i = a_low;
    std::size_t best_j = b_low;
    std::size_t best_n = 0;
    std::unordered_map<std::size_t, std::size_t> lengths;  // of the run that ends at a[i - 1], b[j]
    for (std::size_t i = a_low; i < a_high; ++i) {
      std::unordered_map<std::size_t, std::size_t> next;
      const auto found = places_.find(a_[i]);
      if (found != places_.end()) {
        for (const std::size_t j : found->second) {
          if (j < b_low) continue;
          if (j >= b_high) break;
          const auto before = j == 0 ? lengths.end() : lengths.find(j - 1);
          const std::size_t n = 1 + (before == lengths.end() ? 0 : before->second);
          next[j] = n;
          if (n > best_n) {
            best_i = i + 1 - n;
            best_j = j + 1 - n;
            best_n = n;
          }
        }
      }
      lengths = std::move(next);
    }
    // What was not looked for still counts next to a match.
    while (best_i > a_low && best_j > b_low && a_[best_i - 1] == b_[best_j - 1]) {
      --best_i;
      --best_j;
      ++best_n;
    }
    while (best_i + best_n < a_high && best_j + best_n < b_high && a_[best_i + best_n] == b_[best_j + best_n]) ++best_n;
    return {best_i, best_j, best_n};
  }

  std::u32string a_, b_;
  std::unordered_map<char32_t, std::vector<std::size_t>> places_;
};

std::u32string code_points(std::string_view text) {
  std::u32string result;
  for (std::size_t at = 0; at < text.size();) result += next_code_point(text, at);
  return result;
}

}  // namespace

int similarity_percent(std::string_view a, std::string_view b) {
  if (a == b) return 100;
  if (a.empty() || b.empty()) return 0;
  const std::u32string x = code_points(a);
  const std::u32string y = code_points(b);
  const double n = static_cast<double>(x.size() + y.size());
  return static_cast<int>(std::nearbyint(100 * (2.0 * static_cast<double>(Matcher(x, y).n_matching()) / n)));
}

double score_longbench(const TaskSample& sample, const std::string& predicted) {
  const std::string text = without_front(predicted, false);
  // A cut line may have blanks before it no more: they are gone already.
  return best(sample.task, is_one_line(sample.task) ? split_at(text, '\n')[0] : text, sample);
}

double score_longbench_e(const TaskSample& sample, const std::string& predicted) {
  const std::string task = sample.task.ends_with("-e") ? sample.task.substr(0, sample.task.size() - 2) : sample.task;
  return best(task, is_one_line(task) ? split_at(without_front(predicted, true), '\n')[0] : predicted, sample);
}

}  // namespace kvpress
