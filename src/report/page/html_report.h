// report.html: findings, interactive curves, the table and the settings. One file that needs no network.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "report/documents/kept_tokens_document.h"
#include "report/documents/run_rows.h"

namespace kvpress {

/// Contents of a report in addition to the rows.
struct ReportExtras {
  std::string title = "kvpress report";
  std::string command;                                     ///< that made the runs; empty: not shown
  std::vector<std::pair<std::string, std::string>> facts;  ///< further settings by name: the plan of a sweep
  std::vector<KeptTokensRun> kept_tokens;                  ///< shown as heat maps
};

/// The page. Texts of rows are escaped.
std::string html_report(const std::vector<RunRow>& rows, const ReportExtras& extras);

/// Writes the page. Throws Error with the path.
void write_html_report(const std::vector<RunRow>& rows, const ReportExtras& extras, const std::filesystem::path& path);

}  // namespace kvpress
