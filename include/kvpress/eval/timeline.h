// Memory along a run: the bytes of the cache and of the process, point by point, and the phase between points. The
// number of points is bounded, and the points include the peaks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kvpress/base/timer.h"

namespace kvpress {

/// The phases of PhaseTimes; passes over decoded tokens are a phase of their own, decode.
enum class Phase { prefill, compress, score, decode };
inline constexpr std::size_t kPhases = 4;
std::string_view to_string(Phase phase);

struct TimelinePoint {
  double seconds = 0;                      ///< since the start of the run
  std::int64_t tokens = 0;                 ///< read so far, including the current pass
  std::size_t cache = 0;                   ///< bytes allocated by the cache
  std::size_t resident = 0;                ///< bytes of the process
  std::array<double, kPhases> spent = {};  ///< seconds by phase, since the start of the run

  /// The phase that took most of the time since an earlier point.
  Phase phase_since(const TimelinePoint& before) const;
};

class Timeline {
 public:
  /// Adds a point at `seconds` after the start of the run. Times must not decrease. `phase` is the phase since the
  /// point before.
  void append(Phase phase, double seconds, std::int64_t tokens, std::size_t cache, std::size_t resident);

  bool empty() const { return buckets_.empty(); }
  /// The points by time: the first, the last, and the extremes of cache and resident memory in each of at most kBuckets
  /// equal intervals of time (at most four points per interval).
  std::vector<TimelinePoint> points() const;
  /// The total time of a phase. Includes points that were left out.
  double seconds_of(Phase phase) const { return last_.spent[static_cast<std::size_t>(phase)]; }

  static constexpr std::size_t kBuckets = 400;

 private:
  using Bucket = std::vector<TimelinePoint>;
  static void thin(Bucket& bucket, bool keep_first);
  void halve();

  double span_ = 1e-3;  // seconds of a bucket
  std::vector<Bucket> buckets_;
  TimelinePoint last_;
};

/// Fills a timeline during a run. Reads the clock at every point, and resident memory at intervals.
class TimelineRecorder {
 public:
  /// Starts the clock. The timeline is not owned.
  explicit TimelineRecorder(Timeline& timeline) : timeline_(timeline) {}

  void add_tokens(std::int64_t n) { tokens_ += n; }
  void record(Phase phase, std::size_t cache_bytes);

 private:
  Timeline& timeline_;
  Timer timer_;
  std::int64_t tokens_ = 0;
  std::size_t resident_ = 0;
  double read_at_ = -1;
};

}  // namespace kvpress
