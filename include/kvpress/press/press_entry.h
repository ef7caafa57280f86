// The registry entry of a press: its name, documentation and factory. It is defined at the end of the file of the
// press.
#pragma once

#include <memory>
#include <string_view>

#include "kvpress/press/press.h"

namespace kvpress {

struct PressEntry {
  std::string_view name;
  std::string_view summary;  ///< what it does, in one line
  std::string_view paper;    ///< URL; empty if there is none
  std::string_view needs;    ///< its inputs: "keys", "queries of the last window", ...
  std::unique_ptr<Press> (*make)();
  std::string_view idea = {};     ///< why it works, in two sentences
  std::string_view formula = {};  ///< with the symbols of docs/presses.md
  std::string_view when = {};     ///< when to use it, in one sentence
};

/// A factory for PressEntry::make.
template <typename T>
std::unique_ptr<Press> make_press() {
  return std::make_unique<T>();
}

}  // namespace kvpress
