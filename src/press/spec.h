// The notation of presses, taken apart: name(parameter=value, ...).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kvpress {

struct PressSpec {
  std::string name;
  std::vector<std::pair<std::string, std::string>> arguments;  ///< parameter and value, as written
};

/// Throws UsageError for unbalanced parentheses, an empty name, or an argument without "=".
PressSpec parse_press_spec(const std::string& text);

/// Splits "a,b(c=1,d=2),e" at the commas outside parentheses, blanks trimmed. Throws UsageError when unbalanced or when
/// an item is empty.
std::vector<std::string> split_presses(const std::string& text);

}  // namespace kvpress
