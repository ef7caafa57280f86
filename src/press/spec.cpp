#include "press/spec.h"

#include <algorithm>
#include <string_view>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

/// Presses inside presses. Making, copying and running them recurses; no method needs more than a few.
constexpr int kDeepest = 16;
/// Characters of one press.
constexpr std::size_t kLongest = 4096;

/// For a message.
std::string beginning(const std::string& text) {
  constexpr std::size_t kShown = 60;
  return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
}

}  // namespace

std::vector<std::string> split_presses(const std::string& text) {
  std::vector<std::string> items;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (depth < 0) fail_usage("press '{}': a {} without its {}", beginning(text), c, c == ')' ? '(' : '[');
    if (depth > kDeepest) fail_usage("press '{}': nests more than {} deep", beginning(text), kDeepest);
    if (c != ',' || depth > 0) {
      if (i == text.size()) break;
      continue;
    }
    items.push_back(trimmed(std::string_view(text).substr(start, i - start)));
    if (items.back().empty()) fail_usage("press '{}': an empty name between commas", beginning(text));
    start = i + 1;
  }
  if (depth > 0) fail_usage("press '{}': a ( without its )", beginning(text));
  return items;
}

PressSpec parse_press_spec(const std::string& text) {
  if (text.size() > kLongest) {
    fail_usage("press '{}': has {} characters; {} are the most", beginning(text), text.size(), kLongest);
  }
  const std::vector<std::string> items = split_presses(text);
  if (items.size() != 1) fail_usage("press '{}': exactly one press is needed here", beginning(text));
  const std::string& item = items.front();
  PressSpec spec;
  const auto open = item.find('(');
  spec.name = trimmed(item.substr(0, open));
  if (spec.name.empty()) fail_usage("press '{}': the name before ( is missing", beginning(text));
  if (open == std::string::npos) return spec;
  if (item.back() != ')') fail_usage("press '{}': '{}' after the )", beginning(text), item.substr(item.rfind(')') + 1));
  const std::string inside = trimmed(item.substr(open + 1, item.size() - open - 2));
  if (inside.empty()) return spec;
  for (const std::string& argument : split_presses(inside)) {
    // An = inside parentheses belongs to a press inside.
    const auto equals = argument.find('=');
    const bool named = equals != std::string::npos && equals < argument.find('(');
    spec.arguments.push_back({named ? trimmed(argument.substr(0, equals)) : std::string(),
                              trimmed(named ? std::string_view(argument).substr(equals + 1) : argument)});
  }
  return spec;
}

}  // namespace kvpress
