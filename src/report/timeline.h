// timeline.json, memory along a run, and its picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kvpress/report/result_folder.h"
#include "kvpress/report/run_rows.h"

namespace kvpress {

/// {"phase", "seconds", "tokens", "cache", "resident", "phase_seconds"}: five arrays of equal length, a value a point
/// (TimelinePoint), bytes as whole numbers; phase[i] is what most of the time since point i - 1 was spent on.
/// phase_seconds sums up all points of the run, by phase.
Json timeline_document(const Timeline& timeline);

/// As a file: a line an array.
std::string timeline_text(const Json& timeline);

/// timeline.json for a result folder; nothing when the run has no timeline.
MoreFiles timeline_file(const RunResult& run);

/// Throws Error that says what makes a document no timeline.
void check_timeline(const Json& document);

struct NamedTimeline {
  std::string name;
  const Json* timeline;  ///< as check_timeline() wants it
};

/// "snapkv at 0.50, pg19_ppl, chunked"
std::string run_name(const RunRow& row);

/// Those of rows that a picture shows side by side: of the first row's model, data set and protocol, and of each press
/// the run nearest to a ratio of 0.5, the full cache first; at most eight.
std::vector<NamedTimeline> timelines_of(const std::vector<RunRow>& rows);

/// A plot a run, one below the other in equal axes: the cache and the process's memory over the seconds, with the
/// phases as coloured bands. A .png or .svg; throws what write_picture() throws.
void write_timeline_picture(const std::vector<NamedTimeline>& runs, const std::filesystem::path& path);

}  // namespace kvpress
