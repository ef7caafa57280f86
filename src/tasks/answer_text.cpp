#include "tasks/answer_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// What str.split() and str.strip() take for white space: Unicode's, and four control characters.
bool is_space(char32_t code) { return is_white_space(code) || (code >= 0x1c && code <= 0x1f); }

bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/// Without the words a, an and the, a blank in the place of each.
std::string without_articles(std::string_view text) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t from = at;
    std::size_t next = at;
    if (!is_word(next_code_point(text, next))) {
      out += text.substr(from, next - from);
      at = next;
      continue;
    }
    while (next < text.size()) {
      std::size_t after = next;
      if (!is_word(next_code_point(text, after))) break;
      next = after;
    }
    const std::string_view word = text.substr(from, next - from);
    out += word == "a" || word == "an" || word == "the" ? std::string_view(" ") : word;
    at = next;
  }
  return out;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string storage;
  const std::string_view valid = to_valid_utf8(text, storage);
  std::string out;
  for (std::size_t at = 0; at < valid.size();) {
    const char32_t code = next_code_point(valid, at);
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
  }
  return out;
}

std::string_view stripped(std::string_view text) {
  std::size_t first = text.size();
  std::size_t last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    if (is_space(next_code_point(text, at))) continue;
    first = std::min(first, from);
    last = at;
  }
  return first < last ? text.substr(first, last - first) : std::string_view();
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t from = at;
    const bool space = is_space(next_code_point(text, at));
    if (!space && !inside) words.emplace_back();
    if (!space) words.back() += text.substr(from, at - from);
    inside = !space;
  }
  return words;
}

std::vector<std::string> split_at(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (true) {
    const auto end = text.find(separator);
    pieces.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::vector<std::string> digit_runs(std::string_view text) {
  std::vector<std::string> runs;
  bool inside = false;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (digit && !inside) runs.emplace_back();
    if (digit) runs.back() += c;
    inside = digit;
  }
  return runs;
}

std::string normalize_answer(std::string_view text) {
  std::string plain;
  for (const char c : lower_case(text)) {
    if (!is_punctuation(c)) plain += c;
  }
  std::string out;
  for (const std::string& word : split_words(without_articles(plain))) out += (out.empty() ? "" : " ") + word;
  return out;
}

double token_f1(const std::vector<std::string>& prediction, const std::vector<std::string>& truth) {
  std::map<std::string_view, std::int64_t> left;
  for (const std::string& it : truth) ++left[it];
  double same = 0;
  for (const std::string& it : prediction) {
    const auto at = left.find(it);
    if (at != left.end() && at->second-- > 0) ++same;
  }
  if (same == 0) return 0;
  const double precision = same / static_cast<double>(prediction.size());
  const double recall = same / static_cast<double>(truth.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace kvpress
