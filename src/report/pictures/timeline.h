// timeline.json, memory along a run, and its picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/documents/result_folder.h"
#include "report/documents/run_rows.h"

namespace kvpress {

/// {"phase", "seconds", "tokens", "cache", "resident", "phase_seconds"}: five arrays of equal length, one value per
/// point (TimelinePoint), bytes as integers; phase[i] is the phase that took most of the time since point i - 1.
/// phase_seconds has the totals of the run by phase.
Json timeline_document(const Timeline& timeline);

/// The document as the content of a file, one line per array.
std::string timeline_text(const Json& timeline);

/// timeline.json for a result folder; empty if the run has no timeline.
MoreFiles timeline_file(const RunResult& run);

/// Throws Error that names the invalid part of a document.
void check_timeline(const Json& document);

struct NamedTimeline {
  std::string name;
  const Json* timeline;  ///< valid for check_timeline(); not owned
};

/// "snapkv at 0.50, pg19_ppl, chunked"
std::string run_name(const RunRow& row);

/// The timelines for one picture: of the first row's model, data set and protocol, for each press the run with the
/// ratio nearest to 0.5, the full cache first; at most eight.
std::vector<NamedTimeline> timelines_of(const std::vector<RunRow>& rows);

/// One plot per run, with equal axes: memory of the cache and of the process over seconds, with phases as coloured
/// bands. `path` is a .png or .svg. Throws as write_picture().
void write_timeline_picture(const std::vector<NamedTimeline>& runs, const std::filesystem::path& path);

}  // namespace kvpress
