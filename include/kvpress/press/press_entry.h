// What the registry knows of a press. A press's own file ends with its entry.
#pragma once

#include <memory>
#include <string_view>

#include "kvpress/press/press.h"

namespace kvpress {

struct PressEntry {
  std::string_view name;
  std::string_view summary;  ///< what it does, in a line
  std::string_view paper;    ///< its address; empty when there is none
  std::string_view needs;    ///< what it looks at: "keys", "queries of the last window", ...
  std::unique_ptr<Press> (*make)();
  std::string_view idea = {};     ///< why it works, in two sentences
  std::string_view formula = {};  ///< in the symbols of docs/presses.md
  std::string_view when = {};     ///< when to take it, in a sentence
};

/// For PressEntry::make.
template <typename T>
std::unique_ptr<Press> make_press() {
  return std::make_unique<T>();
}

}  // namespace kvpress
