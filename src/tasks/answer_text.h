// String functions of scorers. They equal those of Python's str on UTF-8.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// str.lower(), code point by code point.
std::string lower_case(std::string_view text);
/// str.strip(), with the white space of Unicode.
std::string_view stripped(std::string_view text);
/// str.split().
std::vector<std::string> split_words(std::string_view text);
/// str.split(separator): empty pieces are kept.
std::vector<std::string> split_at(std::string_view text, char separator);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// The maximal sequences of ASCII digits.
std::vector<std::string> digit_runs(std::string_view text);

/// The normal form of SQuAD: lower case, without ASCII punctuation and the words a, an and the, with single blanks.
std::string normalize_answer(std::string_view text);

/// The harmonic mean of precision and recall of two lists of tokens. Repeated tokens are counted.
double token_f1(const std::vector<std::string>& prediction, const std::vector<std::string>& truth);

}  // namespace kvpress
