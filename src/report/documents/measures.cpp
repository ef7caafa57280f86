#include "report/documents/measures.h"

#include <algorithm>
#include <set>

namespace kvpress {
namespace {

constexpr double kMebi = 1.0 / (1 << 20);

const std::vector<Measure>& known_quality() {
  static const std::vector<Measure> known = {
      {"delta_nll", "delta NLL", "nats per token", 1, true},
      {"kl_full", "KL divergence from the full cache", "nats", 1, true},
      {"perplexity", "perplexity", "", 1, true},
      {"top1_agreement", "same most likely next token as the full cache", "%", 100, false},
      {"bits_per_byte", "bits per byte", "", 1, true},
  };
  return known;
}

const std::vector<Measure>& known_costs() {
  static const std::vector<Measure> known = {
      {"evicted_share", "share of the cache evicted, measured", "", 1, false},
      {"cache_bytes", "cache after the last compression", "MiB", kMebi, true},
      {"total_runtime_sec", "total time", "s", 1, true},
      {"prefill_sec", "prefill time", "s", 1, true},
      {"compress_sec", "press time", "s", 1, true},
      {"score_sec", "scoring or decode time", "s", 1, true},
      {"cache_bytes_peak", "peak cache", "MiB", kMebi, true},
      {"peak_rss_bytes", "peak resident memory", "MiB", kMebi, true},
  };
  return known;
}

/// Numbers of ours that are neither quality nor cost, or the same as another.
const std::set<std::string>& plain_numbers() {
  static const std::set<std::string> plain = {"mean_nll", "n_scored_tokens", "cache_tokens", "runtime_sec",
                                              "repeats",  "answered",        "correct",      "total"};
  return plain;
}

bool any_has(const std::vector<RunRow>& rows, const Measure& measure) {
  return std::any_of(rows.begin(), rows.end(), [&](const RunRow& row) { return value_of(row, measure).has_value(); });
}

std::vector<Measure> those_had(const std::vector<Measure>& known, const std::vector<RunRow>& rows) {
  std::vector<Measure> had;
  std::copy_if(known.begin(), known.end(), std::back_inserter(had),
               [&](const Measure& it) { return any_has(rows, it); });
  return had;
}

}  // namespace

std::vector<Measure> quality_measures(const std::vector<RunRow>& rows) {
  std::vector<Measure> measures = those_had(known_quality(), rows);
  std::set<std::string> known = plain_numbers();
  for (const Measure& it : known_quality()) known.insert(it.key);
  for (const Measure& it : known_costs()) known.insert(it.key);
  std::set<std::string> names;
  for (const RunRow& row : rows) {
    for (const auto& [name, value] : row.numbers) {
      if (known.count(name) == 0) names.insert(name);
    }
  }
  std::vector<std::string> scores(names.begin(), names.end());
  const auto rank = [](const std::string& name) {
    return name == "accuracy" || name == "average" ? 0 : name.starts_with("mean.") ? 1 : 2;
  };
  std::stable_sort(scores.begin(), scores.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  for (const std::string& name : scores) measures.push_back({name, name, "", 1, false});
  return measures;
}

std::vector<Measure> cost_measures(const std::vector<RunRow>& rows) { return those_had(known_costs(), rows); }

std::optional<double> value_of(const RunRow& row, const Measure& measure) {
  if (measure.key == "evicted_share") return row.evicted();
  const auto value = row.number(measure.key);
  return value ? std::optional(*value * measure.scale) : std::nullopt;
}

std::optional<Interval> interval_of(const RunRow& row, const Measure& measure) {
  const auto it = row.interval(measure.key);
  return it ? std::optional(Interval{it->low * measure.scale, it->high * measure.scale}) : std::nullopt;
}

}  // namespace kvpress
