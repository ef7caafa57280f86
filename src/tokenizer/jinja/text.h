// Texts by code points, with Python's white space and letter case. Texts are valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress::jinja {

/// The code points of the text, each as a piece of it.
std::vector<std::string_view> characters(std::string_view text);
std::int64_t n_characters(std::string_view text);
/// Where the code point with this number begins; the size of the text if it has fewer.
std::size_t byte_of_character(std::string_view text, std::int64_t number);

/// As str.isspace() of one code point.
bool is_space(char32_t code);
/// Without the white space, or without the code points in `chars` if it is not null.
std::string_view strip(std::string_view text, const std::string_view* chars, bool left = true, bool right = true);
inline std::string_view strip(std::string_view text) { return strip(text, nullptr); }

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string swap_case(std::string_view text);
/// As str.title(): every run of letters begins with a capital.
std::string title(std::string_view text);
std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count);
/// As the filter `escape`: &, <, >, ' and " for HTML.
std::string escape(std::string_view text);

/// Whether there is text and each code point is of this kind ("isdigit"; "islower" and "isupper" look at letters only).
bool is_all(std::string_view kind, std::string_view text);
bool is_printable(char32_t code);

/// As str.split() and str.rsplit(): `separator` null stands for white space; at most `most` splits if it is not
/// negative.
std::vector<std::string_view> split(std::string_view text, const std::string_view* separator, std::int64_t most,
                                    bool from_right);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

/// The first place of `part` at `from` or later in linear time; npos if there is none.
std::size_t find(std::string_view text, std::string_view part, std::size_t from = 0);
std::size_t find_last(std::string_view text, std::string_view part);

}  // namespace kvpress::jinja
