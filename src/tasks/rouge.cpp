#include "tasks/rouge.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "tasks/answer_text.h"

namespace kvpress {
namespace {

using Words = std::vector<std::string>;

/// A sentence of nothing but blanks is one empty word, as in the package.
std::vector<Words> sentences_of(std::string_view text) {
  std::vector<Words> sentences;
  for (const std::string& it : split_at(text, '.')) {
    if (it.empty()) continue;
    sentences.push_back(split_words(it));
    if (sentences.back().empty()) sentences.back().emplace_back();
  }
  return sentences;
}

Words joined(const std::vector<Words>& sentences) {
  Words words;
  for (const Words& it : sentences) words.insert(words.end(), it.begin(), it.end());
  return words;
}

RougeScore score_of(double n_hypothesis, double n_reference, double n_common) {
  RougeScore score;
  score.precision = n_hypothesis > 0 ? n_common / n_hypothesis : 0;
  score.recall = n_reference > 0 ? n_common / n_reference : 0;
  score.f1 = 2 * (score.precision * score.recall / (score.precision + score.recall + 1e-8));
  return score;
}

RougeScore rouge_n(const Words& hypothesis, const Words& reference, std::size_t n) {
  const auto grams = [&](const Words& words) {
    std::set<Words> all;
    for (std::size_t i = 0; i + n <= words.size(); ++i) {
      all.emplace(words.begin() + static_cast<std::ptrdiff_t>(i), words.begin() + static_cast<std::ptrdiff_t>(i + n));
    }
    return all;
  };
  const std::set<Words> a = grams(hypothesis);
  const std::set<Words> b = grams(reference);
  const auto common = std::count_if(a.begin(), a.end(), [&](const Words& it) { return b.contains(it); });
  return score_of(static_cast<double>(a.size()), static_cast<double>(b.size()), static_cast<double>(common));
}

/// Adds the words of a longest common subsequence of x and y, of which the package's way back finds one.
void add_common_words(const Words& x, const Words& y, std::set<std::string>& words) {
  const std::size_t width = y.size() + 1;
  std::vector<std::int32_t> table((x.size() + 1) * width, 0);
  const auto at = [&](std::size_t i, std::size_t j) -> std::int32_t& { return table[i * width + j]; };
  for (std::size_t i = 1; i <= x.size(); ++i) {
    for (std::size_t j = 1; j <= y.size(); ++j) {
      at(i, j) = x[i - 1] == y[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
    }
  }
  std::size_t i = x.size();
  std::size_t j = y.size();
  while (i > 0 && j > 0) {
    if (x[i - 1] == y[j - 1]) {
      words.insert(x[i - 1]);
      --i;
      --j;
    } else if (at(i - 1, j) > at(i, j - 1)) {
      --i;
    } else {
      --j;
    }
  }
}

RougeScore rouge_l(const std::vector<Words>& hypothesis, const std::vector<Words>& reference) {
  std::set<std::string> common;
  for (const Words& r : reference) {
    for (const Words& h : hypothesis) add_common_words(r, h, common);
  }
  const auto n_different = [](const std::vector<Words>& sentences) {
    const Words words = joined(sentences);
    return static_cast<double>(std::set<std::string>(words.begin(), words.end()).size());
  };
  return score_of(n_different(hypothesis), n_different(reference), static_cast<double>(common.size()));
}

}  // namespace

Rouge rouge(std::string_view hypothesis, std::string_view reference) {
  const std::vector<Words> h = sentences_of(hypothesis);
  const std::vector<Words> r = sentences_of(reference);
  if (h.empty() || r.empty()) return {};
  return {rouge_n(joined(h), joined(r), 1), rouge_n(joined(h), joined(r), 2), rouge_l(h, r)};
}

}  // namespace kvpress
