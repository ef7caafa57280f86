// The share of the cache that was really evicted.
#pragma once

#include <algorithm>

namespace kvpress {

/// Runs that evicted less have kept everything: they win nothing.
inline constexpr double kKeptEverything = 0.005;

/// Of several parts of a run (segments, answers), each with Sequence::Held `held`: 1 - held / whole over all of them.
template <typename Parts>
double evicted_share_of(const Parts& parts) {
  double held = 0;
  double whole = 0;
  for (const auto& it : parts) {
    held += it.held.held;
    whole += it.held.whole;
  }
  return whole > 0 ? std::max(0.0, 1 - held / whole) : 0.0;
}

}  // namespace kvpress
