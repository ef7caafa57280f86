// Memory along runs as a picture: one plot per run, drawn by gnuplot.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/documents/run_rows.h"
#include "report/documents/timeline_document.h"
#include "report/pictures/gnuplot.h"

namespace kvpress {

struct NamedTimeline {
  std::string name;
  std::vector<MemoryPoint> points;
};

/// "snapkv at 0.50, pg19_ppl, chunked"
std::string run_name(const RunRow& row);

/// The timelines for one picture: of the first row's model, data set and protocol, for each press the run with the
/// ratio nearest to 0.5, the full cache first; at most eight.
std::vector<NamedTimeline> timelines_of(const std::vector<RunRow>& rows);

/// One plot per run, with equal axes: memory of the cache and of the process over seconds, with phases as coloured
/// bands.
Drawing timeline_drawing(const std::vector<NamedTimeline>& runs);

/// Draws it. `path` is a .png or .svg. Throws as write_picture().
void write_timeline_picture(const std::vector<NamedTimeline>& runs, const std::filesystem::path& path);

}  // namespace kvpress
