// report.html: the answer in words, curves to play with, the table, and how it was run. One file without a network.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/report/kept_tokens_document.h"
#include "kvpress/report/run_rows.h"

namespace kvpress {

/// What the rows do not tell.
struct ReportExtras {
  std::string title = "kvpress report";
  std::string command;                                     ///< that made the runs; empty: not told
  std::vector<std::pair<std::string, std::string>> facts;  ///< more of how it was run, by name: the plan of a sweep
  std::vector<KeptTokensRun> kept_tokens;                  ///< shown as heat maps
};

/// The page. Rows' texts are shown as texts, whatever they hold. Throws Error for a timeline that is none.
std::string html_report(const std::vector<RunRow>& rows, const ReportExtras& extras);

/// Writes it. Throws Error naming the path.
void write_html_report(const std::vector<RunRow>& rows, const ReportExtras& extras, const std::filesystem::path& path);

}  // namespace kvpress
