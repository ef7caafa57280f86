// JSON from outside: files of models and tokenizers, rows of data sets, answers of servers, results.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kvpress {

/// Nothing known nests deeper than a dozen levels; a value of this depth is copied and destroyed without harm.
inline constexpr std::size_t kMaxJsonDepth = 200;

/// The document in `text`, read as Python's json reads it: NaN, Infinity and -Infinity are numbers, of a name that
/// occurs twice the last counts, and an escaped surrogate without its partner becomes U+FFFD. Throws Error: `name`,
/// what is wrong, line and column. Use it, not nlohmann::json::parse, for what the program has not written itself:
/// nesting is limited here.
nlohmann::json parse_json(std::string_view text, const std::string& name);
/// Of a text that is line `line` of a file.
nlohmann::json parse_json_line(std::string_view text, const std::string& name, std::size_t line);

/// The same, empty where parse_json() would throw.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

/// Whether a text that is to be parsed as JSON by other means nests deeper than kMaxJsonDepth.
bool nests_too_deep(std::string_view text);

/// A value on one line of limited length, for error messages.
std::string brief(const nlohmann::json& value);

}  // namespace kvpress
