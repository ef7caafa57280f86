// timeline.json: the memory of the cache and of the process along a run.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/eval/timeline.h"
#include "report/documents/result_folder.h"

namespace kvpress {

/// Memory at one moment of a run.
struct MemoryPoint {
  Phase phase = Phase::prefill;  ///< the phase that took most of the time since the point before
  double seconds = 0;            ///< since the start of the run, rounded to microseconds
  std::int64_t tokens = 0;       ///< read so far
  std::int64_t cache = 0;        ///< bytes that the cache has allocated
  std::int64_t resident = 0;     ///< bytes of the process
  bool operator==(const MemoryPoint&) const = default;
};

std::vector<MemoryPoint> memory_points(const Timeline& timeline);

/// {"phase", "seconds", "tokens", "cache", "resident", "phase_seconds"}: five arrays of equal length, one value per
/// point, bytes as integers. phase_seconds has the totals of the run by phase.
Json timeline_document(const Timeline& timeline);

/// The points of a document. Throws Error that names the invalid part.
std::vector<MemoryPoint> read_timeline(const Json& document);

/// timeline.json for a result folder, one line per array; empty if the run has no timeline.
MoreFiles timeline_file(const RunResult& run);

}  // namespace kvpress
