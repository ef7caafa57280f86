#include "report/documents/ranking.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kvpress {
namespace {

/// Of sorted shares, the first and the end of the most that are within kSameShare; the first such of several.
std::pair<std::size_t, std::size_t> largest_window(std::span<const double> sorted) {
  constexpr double kRounding = 1e-9;
  std::pair<std::size_t, std::size_t> best = {0, 0};
  std::size_t end = 0;
  for (std::size_t first = 0; first < sorted.size(); ++first) {
    while (end < sorted.size() && sorted[end] - sorted[first] <= kSameShare + kRounding) ++end;
    if (end - first > best.second - best.first) best = {first, end};
  }
  return best;
}

}  // namespace

std::vector<std::vector<std::size_t>> near_shares(std::span<const double> shares) {
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] >= kKeptEverything) left.push_back(i);
  }
  std::stable_sort(left.begin(), left.end(), [&](std::size_t a, std::size_t b) { return shares[a] < shares[b]; });
  std::vector<std::vector<std::size_t>> groups;
  while (!left.empty()) {
    std::vector<double> sorted;
    for (const std::size_t i : left) sorted.push_back(shares[i]);
    const auto [first, end] = largest_window(sorted);
    const auto from = left.begin() + static_cast<std::ptrdiff_t>(first);
    const auto to = left.begin() + static_cast<std::ptrdiff_t>(end);
    groups.emplace_back(from, to);
    left.erase(from, to);
  }
  std::sort(groups.begin(), groups.end(),
            [&](const auto& a, const auto& b) { return shares[a.front()] < shares[b.front()]; });
  return groups;
}

std::string share_text(std::span<const double> shares) {
  std::vector<double> sorted(shares.begin(), shares.end());
  std::sort(sorted.begin(), sorted.end());
  const double percent = 100 * sorted[sorted.size() / 2];
  return fmt::format("{:.{}f} %", percent, percent < 1 ? 1 : 0);
}

bool differs(double asked, double evicted) { return std::abs(asked - evicted) >= 0.005; }

std::string run_text(const std::string& press, double asked, double evicted) {
  return fmt::format("{} at {:.2f}{}", press, asked,
                     differs(asked, evicted) ? fmt::format(" ({:.2f} evicted)", evicted) : "");
}

std::string RankedGroup::share() const {
  std::vector<double> shares;
  for (const RunSummary* it : runs) shares.push_back(it->evicted_share);
  return share_text(shares);
}

std::optional<PairedDifference> RankedGroup::difference(const RunSummary& run) const {
  if (reference == nullptr || &run == reference) return {};
  if (!same_units(run.quality->units, reference->quality->units)) return {};
  return paired_difference(run.quality->units, reference->quality->units);
}

std::vector<RankedGroup> ranked(std::span<const RunSummary> runs, const std::string& against) {
  std::vector<const RunSummary*> compared;
  std::vector<double> shares;
  for (const RunSummary& it : runs) {
    if (!it.quality || it.press == "no_press") continue;
    compared.push_back(&it);
    shares.push_back(it.evicted_share);
  }
  std::vector<RankedGroup> groups;
  for (const auto& indices : near_shares(shares)) {
    RankedGroup& group = groups.emplace_back();
    for (const std::size_t i : indices) group.runs.push_back(compared[i]);
    std::stable_sort(group.runs.begin(), group.runs.end(),
                     [](const auto* a, const auto* b) { return a->quality->kl_full < b->quality->kl_full; });
    const auto found = std::find_if(group.runs.begin(), group.runs.end(),
                                    [&](const auto* it) { return against.empty() || it->press == against; });
    group.reference = found == group.runs.end() ? nullptr : *found;
  }
  return groups;
}

}  // namespace kvpress
