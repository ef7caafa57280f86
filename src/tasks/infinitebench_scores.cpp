// InfiniteBench (https://arxiv.org/abs/2402.13718).
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "base/json_text.h"
#include "kvpress/base/error.h"
#include "tasks/answer_text.h"
#include "tasks/dataset_scores.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

using Json = nlohmann::json;
using Score = double (*)(const std::string& predicted, const TaskSample& sample);

const std::string& label_of(const TaskSample& sample) {
  if (sample.answers.empty()) fail_usage("task {}: a row has no answer", sample.task);
  return sample.answers.front();
}

/// The answer as it stood; of a list its first entry.
Json value_of(const TaskSample& sample) {
  Json value = try_parse_json(sample.answer_json).value_or(Json());
  if (value.is_array() && !value.empty()) value = Json(value[0]);
  return value;
}

std::string with_blanks(std::string text, std::string_view characters) {
  for (char& c : text) {
    if (characters.find(c) != std::string_view::npos) c = ' ';
  }
  return text;
}

std::string single_blanks(std::string text) {
  while (text.find("  ") != std::string::npos) text = replace_all(text, "  ", " ");
  return text;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

double kv_retrieval(const std::string& predicted, const TaskSample& sample) {
  const auto words = split_words(with_blanks(predicted, "\n:\"'.,?!{}"));
  return std::find(words.begin(), words.end(), label_of(sample)) != words.end() ? 1 : 0;
}

double first_number(const std::string& predicted, const TaskSample& sample) {
  const auto numbers = digit_runs(predicted);
  return (numbers.empty() ? std::string() : numbers[0]) == label_of(sample) ? 1 : 0;
}

double code_run(const std::string& predicted, const TaskSample& sample) {
  const Json label = value_of(sample);
  const auto words = split_words(with_blanks(predicted, "\n.`'\":"));
  if (words.empty() || !label.is_number_integer()) return 0;
  return whole_number(words.back()) == label.get<std::int64_t>() ? 1 : 0;
}

/// The letter from A to `last` that stands alone: the last one of the first line that has any.
std::optional<char> lone_letter(const std::string& text, char last) {
  std::optional<char> found;
  char32_t before = U' ';
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    if (code == U'\n' && found) break;
    std::size_t after = at;
    const bool ends = at == text.size() || !is_word(next_code_point(text, after));
    if (code >= U'A' && code <= static_cast<char32_t>(last) && !is_word(before) && ends) {
      found = static_cast<char>(code);
    }
    before = code;
  }
  return found;
}

bool starts_with_any(std::string_view text, const std::vector<std::string>& labels) {
  return std::any_of(labels.begin(), labels.end(), [&](const std::string& it) { return text.starts_with(it); });
}

/// Whether one of the labels stands a character behind the first of the phrases that occurs; nothing when none does.
std::optional<bool> after_phrase(std::string_view text, std::initializer_list<std::string_view> phrases,
                                 const std::vector<std::string>& labels) {
  for (const std::string_view phrase : phrases) {
    const auto at = text.find(phrase);
    if (at == std::string_view::npos) continue;
    if (text.size() < at + phrase.size() + 1) return false;
    return starts_with_any(text.substr(at + phrase.size() + 1), labels);
  }
  return {};
}

double code_debug(const std::string& predicted, const TaskSample& sample) {
  if (sample.answers.size() < 2)
    fail_usage("task {}: an answer must be the name of a function and a letter", sample.task);
  const std::vector<std::string> labels = {sample.answers[1], sample.answers[0]};
  std::string text(stripped(predicted));
  if (const auto letter = lone_letter(text, 'J'); letter && std::string(1, *letter) == labels[0]) return 1;
  text = with_blanks(text, "\n`'\"-*");
  text = single_blanks(replace_all(replace_all(text, "Option", " "), "option", " "));
  if (starts_with_any(text, labels)) return 1;
  return after_phrase(text, {"answer is:", "is:", "answer:", "correct option is:"}, labels).value_or(false) ? 1 : 0;
}

double math_find(const std::string& predicted, const TaskSample& sample) {
  const Json label = value_of(sample);
  if (!label.is_number()) fail_usage("task {}: an answer is not a number", sample.task);
  const auto first = predicted.find_first_of("0123456789");
  if (first == std::string::npos) return 0;
  auto end = std::min(predicted.find_first_not_of("0123456789", first), predicted.size());
  const bool has_fraction =
      end + 1 < predicted.size() && predicted[end] == '.' && predicted[end + 1] >= '0' && predicted[end + 1] <= '9';
  if (has_fraction) end = std::min(predicted.find_first_not_of("0123456789", end + 1), predicted.size());
  const std::string number = predicted.substr(first, end - first);
  if (label.is_number_integer()) return whole_number(number) == label.get<std::int64_t>() ? 1 : 0;
  return std::stod(number) == label.get<double>() ? 1 : 0;
}

double dialogue(const std::string& predicted, const TaskSample& sample) {
  // Upper case in kvpress; lower case finds the same but for letters like the German sharp s.
  const std::string text = lower_case(stripped(predicted));
  return std::any_of(sample.answers.begin(), sample.answers.end(),
                     [&](const std::string& it) { return text.find(lower_case(it)) != std::string::npos; })
             ? 1
             : 0;
}

double choice(const std::string& predicted, const TaskSample& sample) {
  const std::vector<std::string>& labels = sample.answers;
  const auto is_label = [&](const std::string& it) {
    return std::find(labels.begin(), labels.end(), it) != labels.end();
  };
  std::string text(stripped(predicted));
  if (const auto letter = lone_letter(text, 'D'); letter && is_label(std::string(1, *letter))) return 1;
  if (text.empty()) return 0;
  if (text[0] >= 'A' && text[0] <= 'D') return is_label(text.substr(0, 1)) ? 1 : 0;
  if (is_label(text)) return 1;
  text = single_blanks(with_blanks(text, "\n\"'.,?!{}"));
  if (const auto said = after_phrase(text, {"answer is:", "answer:", "answer is", "option is"}, labels)) return *said;
  for (const std::string& word : split_words(text)) {
    if (std::string_view("ABCD").find(word) != std::string_view::npos) return is_label(word) ? 1 : 0;
  }
  return 0;
}

double book_qa(const std::string& predicted, const TaskSample& sample) {
  double best = 0;
  for (const std::string& it : sample.answers) {
    best = std::max(best, token_f1(split_words(normalize_answer(predicted)), split_words(normalize_answer(it))));
  }
  return best;
}

/// One character, one token.
std::vector<std::string> chinese_tokens(std::string_view text) {
  constexpr std::string_view kPunctuation =
      "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞"
      "〟〰〾〿–—‘’‛“”„‟…‧﹏.";
  std::vector<std::string> tokens;
  const std::string lower = lower_case(text);
  for (std::size_t at = 0; at < lower.size();) {
    const std::size_t from = at;
    const char32_t code = next_code_point(lower, at);
    const std::string token = lower.substr(from, at - from);
    const bool ascii = code < 0x80 && !is_word(code);
    const bool underscore = code == U'_';
    if (ascii || underscore || kPunctuation.find(token) != std::string_view::npos || split_words(token).empty())
      continue;
    tokens.push_back(token);
  }
  return tokens;
}

double book_qa_zh(const std::string& predicted, const TaskSample& sample) {
  double best = 0;
  for (const std::string& it : sample.answers) {
    best = std::max(best, token_f1(chinese_tokens(predicted), chinese_tokens(it)));
  }
  return best;
}

/// The share of the numbers that are right up to the first that is not.
double math_calc(const std::string& predicted, const TaskSample& sample) {
  Json label = try_parse_json(sample.answer_json).value_or(Json());
  if (label.is_array() && !label.empty() && label[0].is_array()) label = Json(label[0]);
  if (!label.is_array() || label.empty()) fail_usage("task {}: an answer is not a list of numbers", sample.task);
  const auto numbers = digit_runs(predicted);
  std::size_t n = 0;
  while (n < label.size() && n < numbers.size() && label[n].is_number_integer() &&
         whole_number(numbers[n]) == label[n].get<std::int64_t>()) {
    ++n;
  }
  return static_cast<double>(n) / static_cast<double>(label.size());
}

struct Formula {
  std::string_view task;
  Score score;
};
constexpr Formula kFormulas[] = {
    {"kv_retrieval", kv_retrieval},  {"kv_retrieval_prefix", kv_retrieval}, {"kv_retrieval_both", kv_retrieval},
    {"passkey", first_number},       {"number_string", first_number},       {"code_run", code_run},
    {"code_debug", code_debug},      {"longdialogue_qa_eng", dialogue},     {"longbook_qa_eng", book_qa},
    {"longbook_choice_eng", choice}, {"longbook_qa_chn", book_qa_zh},       {"math_find", math_find},
    {"math_calc", math_calc}};

}  // namespace

double score_infinitebench(const TaskSample& sample, const std::string& predicted) {
  std::vector<std::string_view> known;
  for (const Formula& it : kFormulas) {
    if (it.task == sample.task) return it.score(predicted, sample);
    known.push_back(it.task);
  }
  fail_usage("task {}: is not a scored task of InfiniteBench; known: {}", sample.task, fmt::join(known, ", "));
}

}  // namespace kvpress
