// The syntax of presses: name(parameter=value, inner press, ...).
#pragma once

#include <string>
#include <vector>

namespace kvpress {

/// An argument as written. Without a name it is an inner press: adakv(snapkv).
struct PressArgument {
  std::string name;
  std::string value;
};

struct PressSpec {
  std::string name;
  std::vector<PressArgument> arguments;
};

/// Throws UsageError for unbalanced parentheses, an empty name, and presses that are longer or nest deeper than any
/// method needs.
PressSpec parse_press_spec(const std::string& text);

/// Splits "a,b(c=1,d=2),e" at the commas outside parentheses and brackets, and trims blanks. Throws UsageError for
/// unbalanced parentheses, an empty item, or presses that nest too deep.
std::vector<std::string> split_presses(const std::string& text);

}  // namespace kvpress
