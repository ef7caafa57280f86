// The notation of presses, taken apart: name(parameter=value, press inside, ...).
#pragma once

#include <string>
#include <vector>

namespace kvpress {

/// One argument as written; without a name it is a press inside: adakv(snapkv).
struct PressArgument {
  std::string name;
  std::string value;
};

struct PressSpec {
  std::string name;
  std::vector<PressArgument> arguments;
};

/// Throws UsageError for unbalanced parentheses or an empty name.
PressSpec parse_press_spec(const std::string& text);

/// Splits "a,b(c=1,d=2),e" at the commas outside parentheses and brackets, blanks trimmed. Throws UsageError when
/// unbalanced or when an item is empty.
std::vector<std::string> split_presses(const std::string& text);

}  // namespace kvpress
