// Text as scorers take it apart: as Python's str does, on UTF-8.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// str.lower(), code point by code point.
std::string lower_case(std::string_view text);
/// str.strip(), by Unicode's white space.
std::string_view stripped(std::string_view text);
/// str.split().
std::vector<std::string> split_words(std::string_view text);
/// str.split(separator): empty pieces are kept.
std::vector<std::string> split_at(std::string_view text, char separator);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// Runs of ASCII digits.
std::vector<std::string> digit_runs(std::string_view text);

/// SQuAD's normal form: lower case, without ASCII punctuation and the words a, an and the; single blanks.
std::string normalize_answer(std::string_view text);

/// Of two lists of tokens: the harmonic mean of precision and recall, each token counted as often as it occurs.
double token_f1(const std::vector<std::string>& prediction, const std::vector<std::string>& truth);

}  // namespace kvpress
