// Runs as the rows of a report: read from result folders, ours and those of kvpress's evaluation, or made from the
// documents of a run at hand.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/report/run_document.h"

namespace kvpress {

struct Interval {
  double low = 0;
  double high = 0;
};

struct RunRow {
  std::string press;
  std::string dataset;
  std::string model;
  std::string protocol;  ///< empty where none was named (kvpress's evaluation)
  double compression_ratio = 0;
  /// Every number of metrics.json by its name ("perplexity", "kl_full", "cache_bytes", "prefill_sec"); nested ones
  /// joined by dots ("niah_single_1.string_match"), and the mean over tasks of such ("mean.string_match"). All finite.
  std::map<std::string, double> numbers;
  /// Of those that have one: NAME_ci95 or NAME_spread in metrics.json, two numbers. Of repeated times, the least and
  /// most.
  std::map<std::string, Interval> intervals;
  std::map<std::string, std::string> settings;  ///< config.yaml, as text; nested names joined by dots
  std::string folder;                           ///< empty when not read from one
  std::shared_ptr<const Json> timeline;         ///< timeline.json, where the folder has a right one

  std::optional<double> number(const std::string& name) const;
  std::optional<Interval> interval(const std::string& name) const;
  /// "" where there is none.
  std::string setting(const std::string& name) const;
  bool is_full_cache() const { return press == "no_press"; }
};

/// `metrics` is describe_outcome(), `config` describe_experiment(), as result folders hold them. Throws Error that says
/// what is missing.
RunRow run_row(const Json& metrics, const Json& config);

/// Every result folder in or below `paths`, in the order of their names. One that cannot be read is skipped with a
/// warning that names it. Throws Error for a path that is no folder and, unless `may_be_none`, when nothing was found
/// at all.
std::vector<RunRow> read_result_folders(const std::vector<std::filesystem::path>& paths, bool may_be_none = false);

}  // namespace kvpress
