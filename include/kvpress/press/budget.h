// How many tokens stay: a share of those seen, a number of tokens, or as many as fit in a number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kvpress/cache/kv_cache.h"

namespace kvpress {

/// The budget of one sequence. A fixed one (tokens or bytes) holds whatever was seen.
struct Budget {
  double ratio = 0.0;                       ///< of the tokens seen, this share is evicted; in [0, 1)
  std::optional<std::int64_t> target_size;  ///< when set, each head keeps this many on average
  std::optional<std::size_t> bytes = {};    ///< when set, the whole cache takes at most so many after a compression

  static Budget of_ratio(double share) { return {share, {}}; }
  static Budget of_tokens(std::int64_t n) { return {0.0, n}; }
  static Budget of_bytes(std::size_t n) { return {0.0, {}, n}; }

  bool is_fixed() const { return target_size || bytes; }
  /// A ratio of 0 changes nothing.
  bool keeps_all() const { return !is_fixed() && ratio == 0.0; }

  /// Bytes as the number of tokens that fit in them in a cache of this shape; other budgets stay as they are. Throws
  /// UsageError when not even one token of each head fits.
  Budget in_tokens(const CacheShape& shape) const;
  /// Truncated in doubles, (1 - ratio) first, and at least 1: as kvpress 0.5.5 computes it. Not of bytes.
  std::int64_t n_kept(std::int64_t n_seen) const;

  bool operator==(const Budget&) const = default;
};

/// "0.5": a ratio; "2048": tokens; "256MiB": bytes (KiB, MiB, GiB; KB, MB, GB are powers of 1,000). Throws UsageError
/// naming `setting`.
Budget parse_budget(std::string_view text, std::string_view setting);
/// The inverse.
std::string to_string(const Budget& budget);

}  // namespace kvpress
