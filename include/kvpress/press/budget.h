// The budget of a compression: a ratio of the tokens seen, a number of tokens per head, or a number of bytes per
// sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kvpress/cache/kv_cache.h"

namespace kvpress {

/// The budget of one sequence. A fixed budget (tokens or bytes) does not depend on the number of tokens seen.
struct Budget {
  double ratio = 0.0;                       ///< share of the tokens seen that is evicted; in [0, 1)
  std::optional<std::int64_t> target_size;  ///< tokens per KV head, mean over the heads
  std::optional<std::size_t> bytes = {};    ///< upper limit of the cache after a compression

  static Budget of_ratio(double share) { return {share, {}}; }
  static Budget of_tokens(std::int64_t n) { return {0.0, n}; }
  static Budget of_bytes(std::size_t n) { return {0.0, {}, n}; }

  bool is_fixed() const { return target_size || bytes; }
  /// True for a ratio of 0: nothing is evicted.
  bool keeps_all() const { return !is_fixed() && ratio == 0.0; }

  /// Converts bytes to the number of tokens per head that fit in a cache of this shape beside `taken` bytes. Other
  /// budgets are returned unchanged. Throws UsageError if not even one token per head fits.
  Budget in_tokens(const CacheShape& shape, std::size_t taken = 0) const;
  /// The number of tokens kept of n_seen: target_size, or max(1, int(n_seen * (1 - ratio))) in doubles, as in kvpress
  /// 0.5.5. Not defined for a budget in bytes.
  std::int64_t n_kept(std::int64_t n_seen) const;

  bool operator==(const Budget&) const = default;
};

/// Parses "0.5" (a ratio), "2048" (tokens) or "256MiB" (bytes; KiB, MiB and GiB are powers of 1,024, KB, MB and GB
/// powers of 1,000). Throws UsageError that names `setting`.
Budget parse_budget(std::string_view text, std::string_view setting);
/// The inverse of parse_budget().
std::string to_string(const Budget& budget);

}  // namespace kvpress
