#include "report/documents/sweep_document.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/median.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "report/documents/csv.h"
#include "report/documents/paired_table.h"

namespace kvpress {
namespace {

constexpr std::array kTimes = {"runtime_sec", "prefill_sec", "compress_sec", "score_sec", "total_runtime_sec"};

Json machine() {
  const auto pages = static_cast<double>(::sysconf(_SC_PHYS_PAGES));
  return {{"cpu", cpu_name()},
          {"cores", available_cores()},
          {"memory_bytes", pages * static_cast<double>(::sysconf(_SC_PAGESIZE))}};
}

Json row_of(const std::vector<const SweepRecord*>& repeats) {
  const SweepRecord& first = *repeats.front();
  Json row;
  row["dataset"] = first.dataset;
  row["protocol"] = first.protocol;
  for (const auto& [key, value] : first.metrics.items()) row[key] = value;
  row["repeats"] = repeats.size();
  row["folder"] = first.folder;
  if (repeats.size() == 1) return row;
  for (const char* key : kTimes) {
    std::vector<double> seconds;
    for (const SweepRecord* it : repeats) seconds.push_back(it->metrics.value(key, 0.0));
    row[key] = median(seconds);
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    row[std::string(key) + "_spread"] = {*least, *most};
  }
  return row;
}

/// A row as far as paired comparisons need it.
RunSummary summary_of(const Json& row) {
  RunSummary run;
  run.press = row["press"].get<std::string>();
  run.compression_ratio = row["compression_ratio"].get<double>();
  run.evicted_share = row.value("evicted_share", run.compression_ratio);
  const Json units = row.value("paired_units", Json());
  if (!units.is_object() || !row.contains("kl_full")) return run;
  Quality quality;
  quality.kl_full = row["kl_full"].get<double>();
  quality.units.of_texts = units["of"] == "texts";
  quality.units.delta_nll = units["delta_nll"].get<std::vector<double>>();
  quality.units.kl = units["kl_full"].get<std::vector<double>>();
  run.quality = std::move(quality);
  return run;
}

/// Puts the paired comparison with the best of the same share beside each row of one data set and protocol, instead of
/// what it is made of.
void pair_rows(Json& rows) {
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> experiments;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    experiments[{rows[i]["dataset"].get<std::string>(), rows[i]["protocol"].get<std::string>()}].push_back(i);
  }
  for (const auto& [key, indices] : experiments) {
    std::vector<RunSummary> runs;
    for (const std::size_t i : indices) runs.push_back(summary_of(rows[i]));
    const std::vector<RankedGroup> groups = ranked(runs);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      rows[indices[i]].erase("paired_units");
      rows[indices[i]]["paired"] = paired_json(groups, runs[i]);
    }
  }
}

}  // namespace

Json sweep_document(const Json& plan, const std::vector<SweepRecord>& records, std::size_t n_planned) {
  std::map<std::tuple<std::string, std::string, std::string, double>, std::vector<const SweepRecord*>> groups;
  for (const SweepRecord& it : records) {
    groups[{it.dataset, it.protocol, it.metrics["press"].get<std::string>(),
            it.metrics["compression_ratio"].get<double>()}]
        .push_back(&it);
  }
  Json document;
  document["plan"] = plan;
  document["version"] = version();
  document["machine"] = machine();
  document["n_planned"] = n_planned;
  document["n_runs"] = records.size();
  document["runs"] = Json::array();
  for (auto& [key, repeats] : groups) {
    std::sort(repeats.begin(), repeats.end(), [](const auto* a, const auto* b) { return a->repeat < b->repeat; });
    document["runs"].push_back(row_of(repeats));
  }
  pair_rows(document["runs"]);
  return document;
}

std::string sweep_csv(const Json& document) {
  constexpr std::array kColumns = {"dataset",     "protocol",         "press",           "compression_ratio",
                                   "perplexity",  "mean_nll",         "n_scored_tokens", "bits_per_byte",
                                   "delta_nll",   "kl_full",          "top1_agreement",  "cache_tokens",
                                   "cache_bytes", "cache_bytes_peak", "peak_rss_bytes",  "repeats"};
  std::string csv;
  for (const char* key : kColumns) csv += std::string(key) + ",";
  csv += "delta_nll_low,delta_nll_high,evicted_share,kl_full_low,kl_full_high" + paired_csv_names();
  for (const char* key : kTimes) csv += fmt::format(",{0},{0}_low,{0}_high", key);
  csv += "\n";
  for (const Json& run : document["runs"]) {
    for (const char* key : kColumns) {
      const Json value = run.value(key, Json());
      if (!value.is_null()) csv += value.is_string() ? csv_cell(value.get<std::string>()) : value.dump();
      csv += ",";
    }
    const Json interval = run.value("delta_nll_ci95", Json::array());
    csv += interval.size() == 2 ? fmt::format("{},{}", interval[0].dump(), interval[1].dump()) : ",";
    const Json evicted = run.value("evicted_share", Json());
    csv += fmt::format(",{}", evicted.is_null() ? "" : evicted.dump());
    const Json kl = run.value("kl_full_ci95", Json::array());
    csv += kl.size() == 2 ? fmt::format(",{},{}", kl[0].dump(), kl[1].dump()) : ",,";
    csv += paired_csv(run.value("paired", Json()));
    for (const char* key : kTimes) {
      const Json spread = run.value(std::string(key) + "_spread", Json::array({run[key], run[key]}));
      csv += fmt::format(",{},{},{}", run[key].dump(), spread[0].dump(), spread[1].dump());
    }
    csv += "\n";
  }
  return csv;
}

}  // namespace kvpress
