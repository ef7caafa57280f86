// The cells of a task as a picture: a panel for the full cache and one for each press and ratio, drawn by gnuplot.
#pragma once

#include <filesystem>

#include "report/documents/task_report.h"

namespace kvpress {

/// Whether the task has both rows and columns.
bool has_heat_map(const TaskReport& report);

/// Writes a .png or .svg. Cells show "score|full cache's score" in percent; cells that are not informative are hatched
/// grey. Throws as write_picture().
void write_task_heat_map(const TaskReport& report, const std::filesystem::path& path);

}  // namespace kvpress
