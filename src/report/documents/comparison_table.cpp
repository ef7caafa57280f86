#include "report/documents/comparison_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "report/documents/csv.h"
#include "report/documents/run_document.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

/// The cells of a row as people read them; `full` gives the share of bytes.
std::vector<std::string> cells(const RunSummary& run, const RunSummary& full) {
  const auto bytes = static_cast<double>(run.cache_bytes);
  const Quality& quality = *run.quality;
  return {run.press,
          fmt::format("{:.2f}", run.compression_ratio),
          fmt::format("{:.4f}", quality.kl_full),
          fmt::format("{:+.4f}", quality.delta_nll),
          fmt::format("[{:+.4f}, {:+.4f}]", quality.delta_nll_ci95[0], quality.delta_nll_ci95[1]),
          fmt::format("{:.3f}", run.perplexity),
          fmt::format("{:.1f}", 100 * quality.top1_agreement),
          fmt::format("{:.2f}", bytes / (1 << 20)),
          fmt::format("{:.0f}", 100 * bytes / static_cast<double>(full.cache_bytes)),
          fmt::format("{:.3f}", run.times.compress),
          std::string(to_string(run.cache_format))};
}

const std::vector<std::string> kColumns = {"press",         "ratio",      "KL",      "delta NLL",
                                           "95 % interval", "perplexity", "top-1 %", "cache MiB",
                                           "% of full",     "compress s", "cache"};

std::string heading(const ComparisonTable& table) {
  const ExperimentInfo& it = table.experiment;
  return fmt::format("{}, {}: {} tokens, protocol {}, {}; full cache: perplexity {:.3f}, {:.2f} MiB", it.model,
                     it.dataset, it.n_tokens, to_string(it.settings.protocol.protocol), it.dtype, table.full.perplexity,
                     static_cast<double>(table.full.cache_bytes) / (1 << 20));
}

}  // namespace

void ComparisonTable::sort() {
  std::stable_sort(runs.begin(), runs.end(), [](const RunSummary& a, const RunSummary& b) {
    const auto key = [](const RunSummary& run) { return std::pair(run.compression_ratio, run.quality->kl_full); };
    return key(a) < key(b);
  });
}

std::string as_text(const ComparisonTable& table) {
  std::vector<std::vector<std::string>> rows = {kColumns};
  for (const RunSummary& run : table.runs) {
    std::vector<std::string> row = cells(run, table.full);
    const bool next_ratio = rows.size() > 1 && row[1] != rows.back()[1];
    if (next_ratio) rows.emplace_back();
    rows.push_back(std::move(row));
  }
  return heading(table) + "\n\n" + aligned(rows);
}

std::string as_csv(const ComparisonTable& table) {
  const std::vector<std::string> keys = {"press",       "compression_ratio", "kl_full",      "delta_nll",
                                         "perplexity",  "top1_agreement",    "cache_tokens", "cache_bytes",
                                         "prefill_sec", "compress_sec",      "score_sec",    "cache_dtype"};
  std::string csv = fmt::format("{},delta_nll_low,delta_nll_high\n", fmt::join(keys, ","));
  for (const RunSummary& it : table.runs) {
    const Json run = describe_run(it);
    std::vector<std::string> row;
    for (const std::string& key : keys) {
      row.push_back(run[key].is_string() ? csv_cell(run[key].get<std::string>()) : run[key].dump());
    }
    csv += fmt::format("{},{},{}\n", fmt::join(row, ","), run["delta_nll_ci95"][0].dump(),
                       run["delta_nll_ci95"][1].dump());
  }
  return csv;
}

std::string as_json(const ComparisonTable& table) {
  Json json = describe_experiment(table.experiment);
  json["baseline"] = describe_run(table.full);
  json["runs"] = Json::array();
  for (const RunSummary& it : table.runs) json["runs"].push_back(describe_run(it));
  return json_text(json, 2) + "\n";
}

std::string as_markdown(const ComparisonTable& table) {
  std::string text = heading(table) + "\n\n| " + fmt::format("{}", fmt::join(kColumns, " | ")) + " |\n|";
  for (std::size_t c = 0; c < kColumns.size(); ++c) text += c == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const RunSummary& run : table.runs) {
    auto row = cells(run, table.full);
    row[0] = "`" + row[0] + "`";
    text += fmt::format("| {} |\n", fmt::join(row, " | "));
  }
  return text;
}

}  // namespace kvpress
