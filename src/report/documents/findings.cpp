#include "report/documents/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/counted.h"
#include "kvpress/eval/protocol.h"

namespace kvpress {
namespace {

/// Ratios and names a sentence tells; the table has them all.
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

/// By ratio in hundredths, the nearest to the full cache first.
using ByRatio = std::map<int, std::vector<Distance>>;

ByRatio by_ratio(const Panel& panel, const std::string& score) {
  ByRatio all;
  for (const Series& series : panel.series) {
    for (const RunRow& run : series.runs) {
      const int hundredths = static_cast<int>(std::lround(100 * run.compression_ratio));
      if (run.is_full_cache() || hundredths == 0) continue;
      if (const auto it = distance_of(run, panel.full_cache(), score)) all[hundredths].push_back(*it);
    }
  }
  for (auto& [ratio, runs] : all) {
    std::stable_sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.cautious < b.cautious; });
  }
  return all;
}

/// The ratios that are told: all, or some spread evenly.
std::vector<int> told_ratios(const ByRatio& all) {
  std::vector<int> ratios;
  for (const auto& [ratio, runs] : all) ratios.push_back(ratio);
  if (ratios.size() <= kMostRatios) return ratios;
  std::vector<int> told;
  for (std::size_t i = 0; i < kMostRatios; ++i) told.push_back(ratios[i * (ratios.size() - 1) / (kMostRatios - 1)]);
  return told;
}

std::string sentence_of_ratio(int ratio, const std::vector<Distance>& runs, const std::string& what) {
  std::vector<std::string> near;
  for (const Distance& it : runs) {
    if (it.cautious <= kNear) near.push_back(fmt::format("{} ({})", it.run->press, percent(it.mean)));
  }
  const Distance& worst = runs.back();
  std::string text = fmt::format("With {} % of the cache evicted, ", ratio);
  if (runs.size() == 1) {
    text += fmt::format("{} {} near the full cache ({} {})", worst.run->press, near.empty() ? "does not stay" : "stays",
                        what, percent(worst.mean));
  } else if (near.empty()) {
    text += fmt::format("none of {} presses stays near the full cache; {} is the nearest ({} {})", runs.size(),
                        runs.front().run->press, what, percent(runs.front().mean));
  } else if (near.size() == runs.size()) {
    text += fmt::format("{} stay near the full cache: {}",
                        runs.size() == 2 ? "both presses" : fmt::format("all {} presses", runs.size()), listed(near));
  } else {
    text += fmt::format("{} of {} presses stay{} near the full cache: {}", near.size(), runs.size(),
                        near.size() == 1 ? "s" : "", listed(near));
  }
  if (worst.cautious > kNear && runs.size() > 1) {
    text += fmt::format("; {} is the farthest ({} {})", worst.run->press, what, percent(worst.mean));
  }
  return text + ".";
}

/// How far each press can go: "snapkv up to 0.75".
std::string reach_sentence(const ByRatio& all) {
  std::map<std::string, std::pair<int, bool>> reach;  // the highest ratio still near; whether all below are near too
  for (const auto& [ratio, runs] : all) {
    for (const Distance& it : runs) {
      auto& [highest, unbroken] = reach.emplace(it.run->press, std::pair(0, true)).first->second;
      if (it.cautious > kNear) unbroken = false;
      if (unbroken) highest = ratio;
    }
  }
  int farthest = 0;
  for (const auto& [press, it] : reach) farthest = std::max(farthest, it.first);
  if (farthest == 0) return "No press stays near the full cache at any measured ratio.";
  std::vector<std::string> names;
  for (const auto& [press, it] : reach) {
    if (it.first == farthest) names.push_back(press);
  }
  return fmt::format("{} stay{} near the full cache up to ratio {:.2f}, the highest of all presses.", listed(names),
                     names.size() == 1 ? "s" : "", farthest / 100.0);
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
  return fmt::format("The smallest cache has {:.2f} MiB instead of {:.2f} MiB ({:.0f} %), at ratio {:.2f}.",
                     bytes / (1 << 20), *whole / (1 << 20), 100 * bytes / *whole, least->compression_ratio);
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
      if (mine && !run.is_full_cache()) all.push_back({&run, *mine / *whole - 1});
    }
  }
  if (all.empty()) return "";
  std::stable_sort(all.begin(), all.end(), [](const Timed& a, const Timed& b) { return a.change < b.change; });
  const auto told = [](const Timed& it) {
    return fmt::format("{} at {:.2f} ({})", it.run->press, it.run->compression_ratio, percent(it.change));
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
    const ByRatio all = by_ratio(panel, score);
    if (all.empty()) {
      finding.sentences.push_back("Nothing to compare: runs with the full cache or runs with a press are missing.");
    } else {
      finding.sentences.push_back(reach_sentence(all));
      const std::string what = by_perplexity ? "perplexity" : score + " loss";
      for (const int ratio : told_ratios(all)) {
        finding.sentences.push_back(sentence_of_ratio(ratio, all.at(ratio), what));
      }
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
