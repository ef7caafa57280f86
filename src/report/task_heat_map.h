// A task's cells as a picture: a panel for the full cache and one for each press and ratio, drawn by gnuplot.
#pragma once

#include <filesystem>

#include "kvpress/report/task_report.h"

namespace kvpress {

/// Whether there is a plane to draw: rows and columns.
bool has_heat_map(const TaskReport& report);

/// Writes a .png or .svg. Cells hold the score and, behind a bar, the full cache's, in per cent; those that say nothing
/// are hatched grey. Throws Error when gnuplot is missing, and as write_picture() does.
void write_task_heat_map(const TaskReport& report, const std::filesystem::path& path);

}  // namespace kvpress
