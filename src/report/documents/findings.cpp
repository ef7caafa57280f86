#include "report/documents/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/counted.h"
#include "kvpress/eval/compare.h"
#include "kvpress/eval/protocol.h"
#include "report/documents/ranking.h"

namespace kvpress {
namespace {

/// Shares and names that sentences tell; the table has them all.
constexpr std::size_t kMostRatios = 6;
constexpr std::size_t kMostNames = 5;
/// Times nearer than this are called the same.
constexpr double kSameTime = 0.03;

/// How far a run is from the full cache, as a share: of its perplexity above, or of its score below. `cautious` takes
/// the worse end of the interval where there is one.
struct Distance {
  const RunRow* run = nullptr;
  double mean = 0;
  double cautious = 0;
};

std::optional<Distance> distance_of(const RunRow& run, const RunRow* full, const std::string& score) {
  Distance it{&run, 0, 0};
  if (const auto delta = run.number("delta_nll")) {
    const auto interval = run.interval("delta_nll");
    it.mean = std::expm1(*delta);
    it.cautious = std::expm1(interval ? std::max(interval->high, *delta) : *delta);
    return it;
  }
  if (full == nullptr || score.empty()) return {};
  const auto mine = run.number(score);
  const auto its = full->number(score);
  if (!mine || !its || *its == 0) return {};
  it.mean = score == "perplexity" ? *mine / *its - 1 : 1 - *mine / *its;
  it.cautious = it.mean;
  return it;
}

std::string percent(double share) { return fmt::format("{:+.{}f} %", 100 * share, std::abs(share) < 0.1 ? 1 : 0); }

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  const std::size_t n = std::min(names.size(), kMostNames);
  for (std::size_t i = 0; i < n; ++i) {
    text += i == 0 ? "" : (i + 1 == names.size() ? " and " : ", ");
    text += names[i];
  }
  if (names.size() > n) text += fmt::format(" and {} more", names.size() - n);
  return text;
}

/// Runs that evicted nearly the same share, the nearest to the full cache first; each press once.
struct Group {
  std::vector<Distance> runs;
  std::string share() const {
    std::vector<double> shares;
    for (const Distance& it : runs) shares.push_back(it.run->evicted());
    return share_text(shares);
  }
};

std::vector<Group> groups_of(const Panel& panel, const std::string& score) {
  std::vector<Distance> all;
  std::vector<double> shares;
  for (const Series& series : panel.series) {
    for (const RunRow& run : series.runs) {
      if (run.is_full_cache()) continue;
      if (const auto it = distance_of(run, panel.full_cache(), score)) {
        all.push_back(*it);
        shares.push_back(run.evicted());
      }
    }
  }
  std::vector<Group> groups;
  for (const auto& indices : near_shares(shares)) {
    Group& group = groups.emplace_back();
    std::set<std::string> seen;
    for (const std::size_t i : indices) {
      if (seen.insert(all[i].run->press).second) group.runs.push_back(all[i]);
    }
    std::stable_sort(group.runs.begin(), group.runs.end(),
                     [](const auto& a, const auto& b) { return a.cautious < b.cautious; });
  }
  return groups;
}

/// Presses that were asked to evict something and kept everything: those that always did, and runs of others.
std::vector<std::string> idle_presses(const Panel& panel) {
  std::vector<std::string> names;
  for (const Series& series : panel.series) {
    std::vector<std::string> runs;
    std::size_t n_asked = 0;
    for (const RunRow& run : series.runs) {
      if (run.is_full_cache() || run.compression_ratio < kKeptEverything) continue;
      ++n_asked;
      if (run.evicted() < kKeptEverything)
        runs.push_back(fmt::format("{} at {:.2f}", run.press, run.compression_ratio));
    }
    if (!runs.empty() && runs.size() == n_asked) runs = {series.press};
    names.insert(names.end(), runs.begin(), runs.end());
  }
  return names;
}

/// The groups that are told: all, or some spread evenly.
std::vector<const Group*> told_groups(const std::vector<Group>& all) {
  std::vector<const Group*> told;
  if (all.size() <= kMostRatios) {
    for (const Group& it : all) told.push_back(&it);
    return told;
  }
  for (std::size_t i = 0; i < kMostRatios; ++i) told.push_back(&all[i * (all.size() - 1) / (kMostRatios - 1)]);
  return told;
}

/// ", tied with a and b": those of the group that cannot be told from `run`, pair by pair. They are only looked for
/// where the results have what it takes.
std::string ties(const Group& group, const Distance& run) {
  std::vector<std::string> tied;
  for (const Distance& it : group.runs) {
    if (it.run == run.run || !same_units(it.run->units, run.run->units)) continue;
    const PairedDifference difference = paired_difference(it.run->units, run.run->units);
    if (difference.has_interval && PairedDifference::tied(difference.delta_nll)) tied.push_back(it.run->press);
  }
  return tied.empty() ? "" : fmt::format(", tied with {}", listed(tied));
}

std::string sentence_of_group(const Group& group, const std::string& what) {
  const std::vector<Distance>& runs = group.runs;
  std::vector<std::string> near;
  for (const Distance& it : runs) {
    if (it.cautious <= kNear) near.push_back(fmt::format("{} ({})", it.run->press, percent(it.mean)));
  }
  const Distance& worst = runs.back();
  std::string text = fmt::format("With {} of the cache evicted, ", group.share());
  if (runs.size() == 1) {
    text += fmt::format("{} {} near the full cache ({} {})", worst.run->press, near.empty() ? "does not stay" : "stays",
                        what, percent(worst.mean));
  } else if (near.empty()) {
    text +=
        fmt::format("none of {} stays near the full cache; {} is the nearest ({} {}{})", counted(runs.size(), "press"),
                    runs.front().run->press, what, percent(runs.front().mean), ties(group, runs.front()));
  } else if (near.size() == runs.size()) {
    text += fmt::format("{} stay near the full cache: {}",
                        runs.size() == 2 ? "both presses" : fmt::format("all {} presses", runs.size()), listed(near));
  } else {
    text += fmt::format("{} of {} stay{} near the full cache: {}", near.size(), counted(runs.size(), "press"),
                        near.size() == 1 ? "s" : "", listed(near));
  }
  if (worst.cautious > kNear && runs.size() > 1) {
    text +=
        fmt::format("; {} is the farthest ({} {}{})", worst.run->press, what, percent(worst.mean), ties(group, worst));
  }
  return text + ".";
}

/// How far each press can go: "snapkv with up to 75 % evicted".
std::string reach_sentence(const std::vector<Group>& groups) {
  std::map<std::string, std::pair<std::size_t, bool>> reach;  // groups up to the last near one; whether all were near
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Distance& it : groups[g].runs) {
      auto& [end, unbroken] = reach.emplace(it.run->press, std::pair(0, true)).first->second;
      if (it.cautious > kNear) unbroken = false;
      if (unbroken) end = g + 1;
    }
  }
  std::size_t farthest = 0;
  for (const auto& [press, it] : reach) farthest = std::max(farthest, it.first);
  if (farthest == 0) return "No press stays near the full cache at any measured share.";
  std::vector<std::string> names;
  for (const auto& [press, it] : reach) {
    if (it.first == farthest) names.push_back(press);
  }
  return fmt::format("{} stay{} near the full cache with up to {} of it evicted, the most of all presses.",
                     listed(names), names.size() == 1 ? "s" : "", groups[farthest - 1].share());
}

std::string memory_sentence(const Panel& panel) {
  const RunRow* full = panel.full_cache();
  const auto whole = full == nullptr ? std::nullopt : full->number("cache_bytes");
  if (!whole || *whole <= 0) return "";
  const RunRow* least = nullptr;
  for (const Series& series : panel.series) {
    for (const RunRow& run : series.runs) {
      const auto mine = run.number("cache_bytes");
      if (mine && (least == nullptr || *mine < *least->number("cache_bytes"))) least = &run;
    }
  }
  if (least == nullptr || least->is_full_cache()) return "";
  const double bytes = *least->number("cache_bytes");
  return fmt::format("The smallest cache has {:.2f} MiB instead of {:.2f} MiB ({:.0f} %): {}.", bytes / (1 << 20),
                     *whole / (1 << 20), 100 * bytes / *whole,
                     run_text(least->press, least->compression_ratio, least->evicted()));
}

std::string time_sentence(const Panel& panel) {
  const RunRow* full = panel.full_cache();
  const auto whole = full == nullptr ? std::nullopt : full->number("total_runtime_sec");
  if (!whole || *whole <= 0) return "";
  struct Timed {
    const RunRow* run;
    double change;
  };
  std::vector<Timed> all;
  for (const Series& series : panel.series) {
    for (const RunRow& run : series.runs) {
      const auto mine = run.number("total_runtime_sec");
      // A press that kept everything is no faster but by chance.
      if (mine && !run.is_full_cache() && run.evicted() >= kKeptEverything) {
        all.push_back({&run, *mine / *whole - 1});
      }
    }
  }
  if (all.empty()) return "";
  std::stable_sort(all.begin(), all.end(), [](const Timed& a, const Timed& b) { return a.change < b.change; });
  const auto told = [](const Timed& it) {
    return fmt::format("{} ({})", run_text(it.run->press, it.run->compression_ratio, it.run->evicted()),
                       percent(it.change));
  };
  std::string text;
  const auto n_faster = std::count_if(all.begin(), all.end(), [](const Timed& it) { return it.change < -kSameTime; });
  if (n_faster > 0) {
    text = fmt::format("{} of {} {} faster than the full cache ({:.3g} s), the fastest is {}", n_faster,
                       counted(all.size(), "run"), n_faster == 1 ? "is" : "are", *whole, told(all.front()));
  } else {
    text = fmt::format("No run is more than {1:.0f} % faster than the full cache ({0:.3g} s)", *whole, 100 * kSameTime);
  }
  if (all.back().change > kSameTime) text += fmt::format("; the slowest is {}", told(all.back()));
  return text + ".";
}

Finding finding_of(const Panel& panel) {
  Finding finding{panel.title(), {}};
  if (panel.protocol == to_string(Protocol::window)) {
    finding.sentences.push_back("No statement about quality: " + std::string(kWindowCaveat) + ".");
  } else {
    std::vector<RunRow> mine;
    for (const Series& series : panel.series) mine.insert(mine.end(), series.runs.begin(), series.runs.end());
    const std::vector<Measure> measures = quality_measures(mine);
    const std::string score = measures.empty() ? "" : measures.front().key;
    const bool by_perplexity = score == "delta_nll" || score == "perplexity" || score == "kl_full";
    const std::vector<Group> all = groups_of(panel, score);
    const std::vector<std::string> idle = idle_presses(panel);
    if (all.empty() && idle.empty()) {
      finding.sentences.push_back("Nothing to compare: runs with the full cache or runs with a press are missing.");
    } else {
      if (!all.empty()) finding.sentences.push_back(reach_sentence(all));
      const std::string what = by_perplexity ? "perplexity" : score + " loss";
      for (const Group* it : told_groups(all)) finding.sentences.push_back(sentence_of_group(*it, what));
    }
    if (!idle.empty()) {
      finding.sentences.push_back(fmt::format("{} evicted nothing, whatever was asked for, and {} not ranked.",
                                              listed(idle), idle.size() == 1 ? "is" : "are"));
    }
  }
  for (const std::string& it : {memory_sentence(panel), time_sentence(panel)}) {
    if (!it.empty()) finding.sentences.push_back(it);
  }
  return finding;
}

}  // namespace

std::vector<Finding> findings_of(const std::vector<Panel>& panels) {
  std::vector<Finding> findings;
  for (const Panel& panel : panels) findings.push_back(finding_of(panel));
  return findings;
}

}  // namespace kvpress
