// Differences between the Unicode tables of our libraries and those of the reference implementation.
#pragma once

#include <cstdint>
#include <span>

namespace kvpress {

/// Code points whose general category in PCRE2 is unknown or differs from the reference. Regular expressions see
/// `stand_in` instead, which has the right category and the same number of UTF-8 bytes.
struct StandIn {
  char32_t first, last, stand_in;
};
/// In ascending order.
std::span<const StandIn> stand_ins();

struct CodePointRange {
  char32_t first, last;
};
/// Code points that utf8proc reorders or composes canonically, but the reference does not. In ascending order.
std::span<const CodePointRange> nfc_inert();
/// The same for the decompositions of the other normal forms. In ascending order.
std::span<const CodePointRange> decomposed_later();

/// Letters that the reference has a lower case for, but utf8proc has not: every `step`-th of a range, and how far away
/// its lower case is. In ascending order.
struct LowercaseLater {
  char32_t first, last;
  std::int32_t step, distance;
};
std::span<const LowercaseLater> lowercased_later();

}  // namespace kvpress
