// Which runs may be ranked against each other: those that evicted nearly the same share of the cache, as measured. What
// was asked for does not count, and a run that kept everything wins nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/evicted.h"
#include "kvpress/eval/run_summary.h"

namespace kvpress {

/// Runs whose measured shares differ by at most this are compared.
inline constexpr double kSameShare = 0.02;

/// Groups of indices into `shares`: within a group all are within kSameShare of each other. Shares below
/// kKeptEverything are in none. Groups ascend, and so do the shares in a group.
std::vector<std::vector<std::size_t>> near_shares(std::span<const double> shares);

/// "50 %", of the middle one of these shares.
std::string share_text(std::span<const double> shares);

/// Whether the share that was evicted is not the one that was asked for, in two digits.
bool differs(double asked, double evicted);
/// "snapkv at 0.50", or "think at 0.50 (0.25 evicted)".
std::string run_text(const std::string& press, double asked, double evicted);

/// Compared runs that evicted nearly the same share, the nearest to the full cache (by KL) first.
struct RankedGroup {
  std::vector<const RunSummary*> runs;
  const RunSummary* reference = nullptr;  ///< the others are compared with it; null if the group has none
  std::string share() const;              ///< "50 %"
  /// What a run has more than the reference; empty for the reference itself and without one.
  std::optional<PairedDifference> difference(const RunSummary& run) const;
};

/// The groups of the runs with a press. The reference of a group is its first run or, with `against`, that press's.
std::vector<RankedGroup> ranked(std::span<const RunSummary> runs, const std::string& against = "");

}  // namespace kvpress
