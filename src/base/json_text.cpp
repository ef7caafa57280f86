#include "base/json_text.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

using nlohmann::json;

// What stands for numbers that JSON has not, in a copy of the text: strings that begin with a noncharacter.
constexpr std::string_view kNaN = "\"\xef\xb7\x90NaN\"";
constexpr std::string_view kInfinity = "\"\xef\xb7\x90Infinity\"";
constexpr std::string_view kMinusInfinity = "\"\xef\xb7\x90-Infinity\"";

std::string_view unquoted(std::string_view quoted) { return quoted.substr(1, quoted.size() - 2); }

/// The code unit of the \uXXXX at `at`; -1 if there is none.
int code_unit(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(at + 2, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high(int unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool is_low(int unit) { return unit >= 0xdc00 && unit < 0xe000; }

/// Whether the text may need python_text(): most do not.
bool may_be_pythons(std::string_view text) {
  return text.find("NaN") != text.npos || text.find("Infinity") != text.npos || text.find("\\ud") != text.npos ||
         text.find("\\uD") != text.npos;
}

/// A place in the copy of a text, and the same place in the text itself.
struct Place {
  std::size_t in_copy, in_text;
};

/// The text with what Python reads beyond JSON put in terms of JSON; `moved` gets the places where lengths differ.
std::string python_text(std::string_view text, std::vector<Place>& moved) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (in_string) {
      if (text[at] == '\\') {
        const int unit = code_unit(text, at);
        if (is_high(unit) && is_low(code_unit(text, at + 6))) {
          out += rest.substr(0, 12);
          at += 12;
        } else if (is_high(unit) || is_low(unit)) {
          out += "\\ufffd";
          at += 6;
        } else {
          out += rest.substr(0, 2);
          at += 2;
        }
        continue;
      }
      in_string = text[at] != '"';
    } else {
      in_string = text[at] == '"';
      constexpr std::pair<std::string_view, std::string_view> kNumbers[] = {
          {"NaN", kNaN}, {"Infinity", kInfinity}, {"-Infinity", kMinusInfinity}};
      const auto* number = std::find_if(std::begin(kNumbers), std::end(kNumbers),
                                        [rest](const auto& it) { return rest.starts_with(it.first); });
      if (number != std::end(kNumbers)) {
        out += number->second;
        at += number->first.size();
        moved.push_back({out.size(), at});
        continue;
      }
    }
    out += text[at++];
  }
  return out;
}

/// Builds the document; keeps what is wrong with the text.
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(bool pythons) : pythons_(pythons) {}

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return put(value) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (pythons_) {
      constexpr double kInf = std::numeric_limits<double>::infinity();
      if (value == unquoted(kNaN)) return put(std::numeric_limits<double>::quiet_NaN()) != nullptr;
      if (value == unquoted(kInfinity)) return put(kInf) != nullptr;
      if (value == unquoted(kMinusInfinity)) return put(-kInf) != nullptr;
    }
    return put(std::move(value)) != nullptr;
  }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool key(string_t& value) override {
    if (open_.size() == 1) outermost_key = value;
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    error_at = position;
    is_out_of_range = error.id == 406;
    return false;
  }

  json document;
  std::string outermost_key;
  bool is_too_deep = false, is_out_of_range = false;
  std::size_t error_at = 0;

 private:
  json* put(json&& value) {
    if (open_.empty()) return &(document = std::move(value));
    json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool open(json&& value) {
    is_too_deep = open_.size() == kMaxJsonDepth;
    if (is_too_deep) return false;
    open_.push_back(put(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  bool pythons_;
  std::vector<json*> open_;
  std::string key_;
};

struct Failure {
  std::string what;
  std::size_t line = 0, column = 0;
};

/// The document, or what is wrong.
std::optional<Failure> parse(std::string_view text, json& document) {
  const bool pythons = may_be_pythons(text);
  std::vector<Place> moved{{0, 0}};
  const std::string storage = pythons ? python_text(text, moved) : std::string();
  const std::string_view read = pythons ? storage : text;
  Builder builder(pythons);
  if (json::sax_parse(read.begin(), read.end(), &builder)) {
    document = std::move(builder.document);
    return std::nullopt;
  }
  if (builder.is_too_deep) {
    const std::string at = builder.outermost_key.empty() ? "" : " at " + brief(json(builder.outermost_key));
    return Failure{fmt::format("is nested deeper than {} levels{}", kMaxJsonDepth, at)};
  }
  Failure failure{builder.is_out_of_range ? "has a number that is too large" : "is not valid JSON"};
  const std::size_t at = std::max<std::size_t>(builder.error_at, 1) - 1;
  const Place& last = *(std::upper_bound(moved.begin(), moved.end(), at,
                                         [](std::size_t it, const Place& place) { return it < place.in_copy; }) -
                        1);
  const std::string_view before = text.substr(0, std::min(text.size(), at - last.in_copy + last.in_text));
  failure.line = 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const auto line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  failure.column = before.size() - line_begin + 1;
  return failure;
}

}  // namespace

json parse_json(std::string_view text, const std::string& name) {
  json document;
  if (const auto failure = parse(text, document)) {
    if (failure->line == 0) fail("{}: {}", name, failure->what);
    fail("{}: {} (line {}, column {})", name, failure->what, failure->line, failure->column);
  }
  return document;
}

json parse_json_line(std::string_view text, const std::string& name, std::size_t line) {
  json document;
  if (const auto failure = parse(text, document)) {
    if (failure->line == 0) fail("{}: line {} {}", name, line, failure->what);
    fail("{}: line {} {} (column {})", name, line, failure->what, failure->column);
  }
  return document;
}

std::optional<json> try_parse_json(std::string_view text) {
  json document;
  if (parse(text, document)) return std::nullopt;
  return document;
}

bool nests_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

std::string brief(const json& value) {
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (value.is_object()) return fmt::format("an object of {}", value.size());
  constexpr std::size_t kMost = 80;
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace kvpress
