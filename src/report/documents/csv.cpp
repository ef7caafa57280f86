#include "report/documents/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kvpress {

bool next_csv_record(std::string_view text, std::size_t& at, std::vector<std::string>& fields) {
  fields.clear();
  if (at >= text.size()) return false;
  std::string field;
  bool quoted = false;
  while (at < text.size()) {
    const char c = text[at++];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (at < text.size() && text[at] == '"') {
        field += text[at++];
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',') {
      fields.push_back(std::move(field));
      field.clear();
    } else if (c == '\n') {
      break;
    } else if (c != '\r') {
      field += c;
    }
  }
  fields.push_back(std::move(field));
  return true;
}

namespace {

bool is_number(const std::string& text) {
  const std::size_t sign = text.starts_with('+') ? 1 : 0;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data() + sign, text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string csv_cell(const std::string& value) {
  // Spreadsheets take what begins so for a formula, and one from outside may do anything: with an apostrophe it is
  // text.
  constexpr std::string_view kFormula = "=+-@\t\r\n";
  const bool formula = !value.empty() && kFormula.find(value.front()) != std::string_view::npos && !is_number(value);
  std::string text = value;
  if (formula) text.insert(text.begin(), '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::optional<double> csv_column_mean(std::string_view text, std::string_view column) {
  std::size_t at = 0;
  std::vector<std::string> fields;
  if (!next_csv_record(text, at, fields)) return {};
  const auto found = std::find(fields.begin(), fields.end(), column);
  if (found == fields.end()) return {};
  const auto c = static_cast<std::size_t>(found - fields.begin());
  double sum = 0;
  double n = 0;
  while (next_csv_record(text, at, fields)) {
    if (c >= fields.size()) continue;
    double value = 0;
    const std::string& field = fields[c];
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) continue;
    sum += value;
    ++n;
  }
  if (n == 0) return {};
  return sum / n;
}

}  // namespace kvpress
