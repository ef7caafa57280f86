// Memory along a run: what the cache and the process hold, point by point, and what the time in between was spent on.
// However long the run, the points stay few, and its peaks are among them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kvpress/base/timer.h"

namespace kvpress {

/// prefill, compress and score are those of PhaseTimes, but for the decoded tokens' passes, which are decode.
enum class Phase { prefill, compress, score, decode };
inline constexpr std::size_t kPhases = 4;
std::string_view to_string(Phase phase);

struct TimelinePoint {
  double seconds = 0;                      ///< since the run's start
  std::int64_t tokens = 0;                 ///< read since then, those of the pass at hand included
  std::size_t cache = 0;                   ///< bytes the cache has allocated
  std::size_t resident = 0;                ///< bytes of the process
  std::array<double, kPhases> spent = {};  ///< seconds by phase, since the run's start

  /// What most of the time since an earlier point was spent on.
  Phase phase_since(const TimelinePoint& before) const;
};

class Timeline {
 public:
  /// A point at `seconds` after the run's start, no earlier than the one before; `phase` is what went on since that
  /// one.
  void append(Phase phase, double seconds, std::int64_t tokens, std::size_t cache, std::size_t resident);

  bool empty() const { return buckets_.empty(); }
  /// In their order: the first, the last, and at most four of each of at most kBuckets equal stretches of time, those
  /// with the smallest and the largest cache and resident memory.
  std::vector<TimelinePoint> points() const;
  /// Of all points, those that were left out included.
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

/// Fills a timeline as a run goes: reads the clock at every point, and resident memory every so often.
class TimelineRecorder {
 public:
  /// The run begins now.
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
