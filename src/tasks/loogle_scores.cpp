// LooGLE (https://arxiv.org/abs/2311.04939): those of its scores that are formulas.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "tasks/answer_text.h"
#include "tasks/dataset_scores.h"
#include "tasks/rouge.h"

namespace kvpress {
namespace {

using Names = std::vector<std::pair<std::string, std::string>>;

/// A Python dictionary of strings as it is written: {'<mask-0>': 'Ann', "<mask-1>": "Bo"}. Nothing else is read.
class DictReader {
 public:
  explicit DictReader(std::string_view text) : text_(text) {}

  std::optional<Names> read() {
    Names names;
    if (!take('{')) return {};
    while (!take('}')) {
      const auto key = string();
      if (!key || !take(':')) return {};
      const auto value = string();
      if (!value) return {};
      // The last of equal keys counts, in the place of the first.
      const auto old = std::find_if(names.begin(), names.end(), [&](const auto& it) { return it.first == *key; });
      if (old != names.end()) {
        old->second = *value;
      } else {
        names.emplace_back(*key, *value);
      }
      if (!take(',') && !at('}')) return {};
    }
    blanks();
    return at_ == text_.size() ? std::optional(names) : std::nullopt;
  }

 private:
  void blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool at(char c) {
    blanks();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool take(char c) {
    if (!at(c)) return false;
    ++at_;
    return true;
  }
  std::optional<std::string> string() {
    if (!at('\'') && !at('"')) return {};
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\n') return {};
      if (text_[at_] == '\\') {
        if (++at_ == text_.size()) return {};
        const char c = text_[at_++];
        if (c == '\'' || c == '"' || c == '\\') {
          value += c;
        } else if (c == 'n') {
          value += '\n';
        } else {
          value += '\\';
          value += c;
        }
      } else {
        value += text_[at_++];
      }
    }
    if (at_ == text_.size()) return {};
    ++at_;
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Runs of n words that both have, each as often as the reference has it at the most, as a share of the hypothesis's.
double precision(const std::vector<std::string>& reference, const std::vector<std::string>& hypothesis, std::size_t n) {
  const auto runs = [&](const std::vector<std::string>& words) {
    std::map<std::vector<std::string>, int> counts;
    for (std::size_t i = 0; i + n <= words.size(); ++i) {
      ++counts[{words.begin() + static_cast<std::ptrdiff_t>(i), words.begin() + static_cast<std::ptrdiff_t>(i + n)}];
    }
    return counts;
  };
  const auto in_reference = runs(reference);
  double common = 0;
  double all = 0;
  for (const auto& [run, n_times] : runs(hypothesis)) {
    const auto it = in_reference.find(run);
    if (it != in_reference.end()) common += std::min(n_times, it->second);
    all += n_times;
  }
  return common / std::max(1.0, all);
}

}  // namespace

Bleu bleu(std::string_view reference, std::string_view hypothesis) {
  const std::vector<std::string> r = split_words(reference);
  const std::vector<std::string> h = split_words(hypothesis);
  if (h.empty() || precision(r, h, 1) == 0) return {};
  const double n_reference = static_cast<double>(r.size());
  const double n_hypothesis = static_cast<double>(h.size());
  const double brevity = n_hypothesis > n_reference ? 1 : std::exp(1 - n_reference / n_hypothesis);
  return {brevity * precision(r, h, 1), brevity * precision(r, h, 4)};
}

ClozeScore score_cloze(const std::string& reference, const std::string& hypothesis, bool partly) {
  const auto truth = DictReader(stripped(reference)).read();
  const auto guess = DictReader(stripped(hypothesis)).read();
  const double count = truth ? static_cast<double>(truth->size()) : 1;
  // Where an answer cannot be read, kvpress counts one mask for the exact score.
  if (!truth || !guess) return {0, partly ? count : 1};
  ClozeScore score{0, count};
  for (const auto& [key, value] : *truth) {
    const auto it =
        std::find_if(guess->begin(), guess->end(), [&, &key = key](const auto& at) { return at.first == key; });
    if (it == guess->end()) continue;
    if (!partly) {
      score.right += it->second == value ? 1 : 0;
      continue;
    }
    const auto wanted = split_words(value);
    const auto given = split_words(it->second);
    score.right += std::any_of(given.begin(), given.end(),
                               [&](const std::string& word) {
                                 return std::find(wanted.begin(), wanted.end(), word) != wanted.end();
                               })
                       ? 1
                       : 0;
  }
  return score;
}

double score_loogle(const TaskSample& sample, const std::string& predicted) {
  if (sample.answers.empty()) return 0;
  if (sample.task == "shortdep_cloze") {
    const ClozeScore score = score_cloze(sample.answers.front(), predicted, false);
    return score.count > 0 ? score.right / score.count : 0;
  }
  return rouge(predicted, sample.answers.front()).rouge_l.recall;
}

}  // namespace kvpress
