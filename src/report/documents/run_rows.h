// Runs as the rows of a report: read from result folders, also of kvpress's evaluation, or made from the documents of a
// run.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/eval/compare.h"
#include "report/documents/run_document.h"
#include "report/documents/timeline_document.h"

namespace kvpress {

struct Interval {
  double low = 0;
  double high = 0;
};

/// No measure is as large: what is, or is infinite, is left out of rows with a warning. Axes could not show it.
inline constexpr double kLargestNumber = 1e100;

struct RunRow {
  std::string press;
  std::string dataset;
  std::string model;
  std::string protocol;                 ///< empty if unknown (kvpress's evaluation)
  double compression_ratio = 0;         ///< asked for
  std::optional<double> evicted_share;  ///< measured; empty if the results do not say it
  /// What pictures and rankings go by: the measured share or, failing that, the ratio.
  double evicted() const { return evicted_share.value_or(compression_ratio); }
  /// For paired comparisons; empty if the results have none.
  UnitMeans units;
  /// Every number of metrics.json by its name ("perplexity", "kl_full", "cache_bytes", "prefill_sec"); names of
  /// nested ones are joined by dots ("niah_single_1.string_match"); "mean.string_match" is a mean over tasks. All
  /// below kLargestNumber.
  std::map<std::string, double> numbers;
  /// Intervals of numbers: NAME_ci95 or NAME_spread in metrics.json. For repeated times, minimum and maximum.
  std::map<std::string, Interval> intervals;
  std::map<std::string, std::string> settings;  ///< config.yaml as text; nested names are joined by dots
  std::string folder;                           ///< empty if not read from a folder
  std::vector<MemoryPoint> timeline;            ///< empty if the folder has no valid timeline.json
  std::vector<std::string> left_out;            ///< names of numbers that are not finite, or too large

  std::optional<double> number(const std::string& name) const;
  std::optional<Interval> interval(const std::string& name) const;
  /// The value of a setting; empty if there is none.
  std::string setting(const std::string& name) const;
  bool is_full_cache() const { return press == "no_press"; }
};

/// A row from `metrics` (describe_run()) and `config` (describe_experiment()), as in result folders. Throws Error
/// that names what is missing.
RunRow run_row(const Json& metrics, const Json& config);

/// Fills evicted_share of rows that lack it, from what the cache held beside the full cache's run with the same
/// settings: tokens or, where those are the same, bytes.
void measure_evicted(std::vector<RunRow>& rows);

/// Every result folder in or below `paths`, in the order of names. A folder that cannot be read is skipped with a
/// warning. Throws Error if a path is not a folder and, unless `may_be_none`, if no result folder was found.
std::vector<RunRow> read_result_folders(const std::vector<std::filesystem::path>& paths, bool may_be_none = false);

}  // namespace kvpress
