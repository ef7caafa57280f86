// Counts in messages with correct grammar: "1 run", "2 runs".
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace kvpress {

/// The number and the noun, "1 run" or "2 runs". The plural is the noun with an s, or es after an s ("2 presses").
template <std::integral Number>
std::string counted(Number n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : noun.ends_with('s') ? "es" : "s");
}

}  // namespace kvpress
