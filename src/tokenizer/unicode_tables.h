// Where the Unicode tables of the libraries at hand are older or newer than those of the reference implementation.
#pragma once

#include <span>

namespace kvpress {

/// Code points whose general category PCRE2 does not know yet or sees otherwise than the reference: to a regular
/// expression each is as good as `stand_in`, which has the right category and as many bytes in UTF-8.
struct StandIn {
  char32_t first, last, stand_in;
};
/// Ascending.
std::span<const StandIn> stand_ins();

struct CodePointRange {
  char32_t first, last;
};
/// Code points that take part in canonical ordering or composition by utf8proc's tables but not by the reference's.
/// Ascending.
std::span<const CodePointRange> nfc_inert();

}  // namespace kvpress
