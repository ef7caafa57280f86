// One cell of a CSV file.
#pragma once

#include <string>

namespace kvpress {

/// Quoted where the text holds a comma, a quote or a line break (RFC 4180).
inline std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace kvpress
