#include "kvpress/report/comparison_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "kvpress/report/csv.h"
#include "kvpress/report/text_table.h"

namespace kvpress {
namespace {

/// The cells of a row as people read them; `full` gives the share of bytes.
std::vector<std::string> cells(const Json& run, const Json& full) {
  const double bytes = run["cache_bytes"].get<double>();
  return {
      run["press"].get<std::string>(),
      fmt::format("{:.2f}", run["compression_ratio"].get<double>()),
      fmt::format("{:.4f}", run["kl_full"].get<double>()),
      fmt::format("{:+.4f}", run["delta_nll"].get<double>()),
      fmt::format("[{:+.4f}, {:+.4f}]", run["delta_nll_ci95"][0].get<double>(), run["delta_nll_ci95"][1].get<double>()),
      fmt::format("{:.3f}", run["perplexity"].get<double>()),
      fmt::format("{:.1f}", 100 * run["top1_agreement"].get<double>()),
      fmt::format("{:.2f}", bytes / (1 << 20)),
      fmt::format("{:.0f}", 100 * bytes / full["cache_bytes"].get<double>()),
      fmt::format("{:.3f}", run["compress_sec"].get<double>()),
      run["cache_dtype"].get<std::string>()};
}

const std::vector<std::string> kColumns = {"press",         "ratio",      "KL",      "delta NLL",
                                           "95 % interval", "perplexity", "top-1 %", "cache MiB",
                                           "% of full",     "compress s", "cache"};

std::string heading(const ComparisonTable& table) {
  const Json& it = table.experiment;
  return fmt::format("{}, {}: {} tokens, protocol {}, {}; full cache: perplexity {:.3f}, {:.2f} MiB",
                     it["model"].get<std::string>(), it["dataset"].get<std::string>(),
                     it["n_tokens"].get<std::int64_t>(), it["protocol"].get<std::string>(),
                     it["dtype"].get<std::string>(), table.full["perplexity"].get<double>(),
                     table.full["cache_bytes"].get<double>() / (1 << 20));
}

}  // namespace

void ComparisonTable::sort() {
  std::stable_sort(runs.begin(), runs.end(), [](const Json& a, const Json& b) {
    const auto key = [](const Json& run) {
      return std::pair(run["compression_ratio"].get<double>(), run["kl_full"].get<double>());
    };
    return key(a) < key(b);
  });
}

std::string as_text(const ComparisonTable& table) {
  std::vector<std::vector<std::string>> rows = {kColumns};
  for (const Json& run : table.runs) {
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
  for (const Json& run : table.runs) {
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
  Json json = table.experiment;
  json["baseline"] = table.full;
  json["runs"] = table.runs;
  return json.dump(2) + "\n";
}

std::string as_markdown(const ComparisonTable& table) {
  std::string text = heading(table) + "\n\n| " + fmt::format("{}", fmt::join(kColumns, " | ")) + " |\n|";
  for (std::size_t c = 0; c < kColumns.size(); ++c) text += c == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const Json& run : table.runs) {
    auto row = cells(run, table.full);
    row[0] = "`" + row[0] + "`";
    text += fmt::format("| {} |\n", fmt::join(row, " | "));
  }
  return text;
}

}  // namespace kvpress
