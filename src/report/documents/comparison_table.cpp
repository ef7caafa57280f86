#include "report/documents/comparison_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/counted.h"
#include "report/documents/csv.h"
#include "report/documents/paired_table.h"
#include "report/documents/run_document.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

/// The heading of the table and its rows, as people read them.
std::vector<std::vector<std::string>> all_cells(const ComparisonTable& table) {
  // What was evicted stands beside what was asked for wherever it is something else.
  const bool measured = std::any_of(table.runs.begin(), table.runs.end(), [](const RunSummary& it) {
    return differs(it.compression_ratio, it.evicted_share);
  });
  std::vector<std::vector<std::string>> rows = {{"press", "ratio"}};
  if (measured) rows.front().emplace_back("evicted");
  rows.front().insert(rows.front().end(), {"KL", "95 % interval", "delta NLL", "95 % interval", "perplexity", "top-1 %",
                                           "cache MiB", "% of full", "compress s", "cache"});
  for (const RunSummary& run : table.runs) {
    const auto bytes = static_cast<double>(run.cache_bytes);
    const Quality& quality = *run.quality;
    std::vector<std::string>& row = rows.emplace_back();
    row = {run.press, fmt::format("{:.2f}", run.compression_ratio)};
    if (measured) row.push_back(fmt::format("{:.2f}", run.evicted_share));
    row.insert(row.end(), {fmt::format("{:.4f}", quality.kl_full),
                           fmt::format("[{:.4f}, {:.4f}]", quality.kl_full_ci95[0], quality.kl_full_ci95[1]),
                           fmt::format("{:+.4f}", quality.delta_nll),
                           fmt::format("[{:+.4f}, {:+.4f}]", quality.delta_nll_ci95[0], quality.delta_nll_ci95[1]),
                           fmt::format("{:.3f}", run.perplexity), fmt::format("{:.1f}", 100 * quality.top1_agreement),
                           fmt::format("{:.2f}", bytes / (1 << 20)),
                           fmt::format("{:.0f}", 100 * bytes / static_cast<double>(table.full.cache_bytes)),
                           fmt::format("{:.3f}", run.times.compress), std::string(to_string(run.cache_format))});
  }
  return rows;
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows, bool code_first) {
  std::string text = fmt::format("| {} |\n|", fmt::join(rows.front(), " | "));
  for (std::size_t c = 0; c < rows.front().size(); ++c) text += c == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (std::size_t r = 1; r < rows.size(); ++r) {
    if (rows[r].empty()) continue;
    std::vector<std::string> row = rows[r];
    if (code_first) row[0] = "`" + row[0] + "`";
    text += fmt::format("| {} |\n", fmt::join(row, " | "));
  }
  return text;
}

std::string heading(const ComparisonTable& table) {
  const ExperimentInfo& it = table.experiment;
  return fmt::format("{}, {}: {}, protocol {}, {}; full cache: perplexity {:.3f}, {:.2f} MiB", it.model, it.dataset,
                     counted(it.n_tokens, "token"), to_string(it.settings.protocol.protocol), it.dtype,
                     table.full.perplexity, static_cast<double>(table.full.cache_bytes) / (1 << 20));
}

}  // namespace

void ComparisonTable::sort() {
  std::map<const RunSummary*, std::size_t> group_of;  // those that evicted nothing come first
  const std::vector<RankedGroup> groups = ranked(runs);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const RunSummary* it : groups[g].runs) group_of[it] = g + 1;
  }
  std::vector<std::tuple<std::size_t, double, std::size_t>> order;
  for (std::size_t i = 0; i < runs.size(); ++i) order.emplace_back(group_of[&runs[i]], runs[i].quality->kl_full, i);
  std::sort(order.begin(), order.end());
  std::vector<RunSummary> sorted;
  for (const auto& [group, kl, i] : order) sorted.push_back(std::move(runs[i]));
  runs = std::move(sorted);
}

std::string as_text(const ComparisonTable& table) {
  const std::vector<std::vector<std::string>> cells = all_cells(table);
  const std::vector<RankedGroup> groups = ranked(table.runs, table.against);
  const auto starts_group = [&](const RunSummary& run) {
    return std::any_of(groups.begin(), groups.end(), [&](const RankedGroup& it) { return it.runs.front() == &run; });
  };
  std::vector<std::vector<std::string>> rows = {cells.front()};
  for (std::size_t i = 0; i < table.runs.size(); ++i) {
    if (i > 0 && starts_group(table.runs[i])) rows.emplace_back();
    rows.push_back(cells[i + 1]);
  }
  const std::string paired = paired_text(groups);
  return heading(table) + "\n\n" + aligned(rows) + (paired.empty() ? "" : "\n" + paired);
}

std::string as_csv(const ComparisonTable& table) {
  const std::vector<std::string> keys = {"press",       "compression_ratio", "kl_full",      "delta_nll",
                                         "perplexity",  "top1_agreement",    "cache_tokens", "cache_bytes",
                                         "prefill_sec", "compress_sec",      "score_sec",    "cache_dtype"};
  std::string csv = fmt::format("{},delta_nll_low,delta_nll_high,evicted_share,kl_full_low,kl_full_high{}\n",
                                fmt::join(keys, ","), paired_csv_names());
  const std::vector<RankedGroup> groups = ranked(table.runs, table.against);
  for (const RunSummary& it : table.runs) {
    const Json run = describe_run(it);
    std::vector<std::string> row;
    for (const std::string& key : keys) {
      row.push_back(run[key].is_string() ? csv_cell(run[key].get<std::string>()) : run[key].dump());
    }
    const auto add = [&](const Json& value) { row.push_back(value.is_null() ? "" : value.dump()); };
    const auto add_interval = [&](const Json& value) {
      for (const std::size_t end : {0, 1}) add(value.is_null() ? value : value[end]);
    };
    add_interval(run["delta_nll_ci95"]);
    add(run["evicted_share"]);
    add_interval(run["kl_full_ci95"]);
    csv += fmt::format("{}{}\n", fmt::join(row, ","), paired_csv(paired_json(groups, it)));
  }
  return csv;
}

std::string as_json(const ComparisonTable& table) {
  Json json = describe_experiment(table.experiment);
  json["baseline"] = describe_run(table.full);
  json["runs"] = Json::array();
  const std::vector<RankedGroup> groups = ranked(table.runs, table.against);
  for (const RunSummary& it : table.runs) {
    json["runs"].push_back(describe_run(it));
    json["runs"].back()["paired"] = paired_json(groups, it);
  }
  return json_text(json, 2) + "\n";
}

std::string as_markdown(const ComparisonTable& table) {
  const std::vector<RankedGroup> groups = ranked(table.runs, table.against);
  std::string text = heading(table) + "\n\n" + markdown_table(all_cells(table), true);
  const auto rows = paired_rows(groups);
  if (!rows.empty()) text += fmt::format("\n{}\n\n{}", paired_heading(groups), markdown_table(rows, true));
  return text;
}

}  // namespace kvpress
