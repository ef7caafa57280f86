// How many tokens stay.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace kvpress {

/// A share of the tokens seen, or a fixed number.
struct Budget {
  double ratio = 0.0;                       ///< of the tokens seen, this share goes; in [0, 1)
  std::optional<std::int64_t> target_size;  ///< when set, this many stay whatever was seen

  /// Truncated in doubles, (1 - ratio) first, and never nothing: as kvpress 0.5.5 computes it.
  std::int64_t n_kept(std::int64_t n_seen) const {
    if (target_size) return *target_size;
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n_seen) * (1.0 - ratio)));
  }
  /// A ratio of 0 changes nothing.
  bool keeps_all() const { return !target_size && ratio == 0.0; }
};

}  // namespace kvpress
