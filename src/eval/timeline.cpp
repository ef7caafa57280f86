#include "kvpress/eval/timeline.h"

#include <algorithm>

#include "kvpress/base/memory.h"

namespace kvpress {
namespace {

/// A bucket with so many points is thinned at once.
constexpr std::size_t kCrowded = 16;
/// Reading resident memory asks the kernel, which takes microseconds: between readings the last one holds.
constexpr double kSecondsBetweenReadings = 2e-3;

}  // namespace

std::string_view to_string(Phase phase) {
  constexpr std::array<std::string_view, kPhases> kNames = {"prefill", "compress", "score", "decode"};
  return kNames[static_cast<std::size_t>(phase)];
}

Phase TimelinePoint::phase_since(const TimelinePoint& before) const {
  std::size_t most = 0;
  for (std::size_t i = 1; i < kPhases; ++i) {
    if (spent[i] - before.spent[i] > spent[most] - before.spent[most]) most = i;
  }
  return static_cast<Phase>(most);
}

void Timeline::append(Phase phase, double seconds, std::int64_t tokens, std::size_t cache, std::size_t resident) {
  TimelinePoint point{seconds, tokens, cache, resident, last_.spent};
  point.spent[static_cast<std::size_t>(phase)] += seconds - last_.seconds;
  last_ = point;
  while (seconds >= span_ * static_cast<double>(kBuckets)) halve();
  const auto at = static_cast<std::size_t>(seconds / span_);
  if (buckets_.size() <= at) buckets_.resize(at + 1);
  Bucket& bucket = buckets_[at];
  bucket.push_back(point);
  if (bucket.size() >= kCrowded) thin(bucket, at == 0);
}

void Timeline::thin(Bucket& bucket, bool keep_first) {
  if (bucket.empty()) return;
  std::vector<std::size_t> kept;
  if (keep_first) kept.push_back(0);
  for (const auto member : {&TimelinePoint::cache, &TimelinePoint::resident}) {
    const auto [least, most] =
        std::minmax_element(bucket.begin(), bucket.end(),
                            [&](const TimelinePoint& a, const TimelinePoint& b) { return a.*member < b.*member; });
    kept.push_back(static_cast<std::size_t>(least - bucket.begin()));
    kept.push_back(static_cast<std::size_t>(most - bucket.begin()));
  }
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  for (std::size_t i = 0; i < kept.size(); ++i) bucket[i] = bucket[kept[i]];
  bucket.resize(kept.size());
}

/// Makes one bucket of each two.
void Timeline::halve() {
  span_ *= 2;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (i % 2 == 0) {
      if (i > 0) buckets_[i / 2] = std::move(buckets_[i]);
      continue;
    }
    Bucket& both = buckets_[i / 2];
    both.insert(both.end(), buckets_[i].begin(), buckets_[i].end());
    if (both.size() >= kCrowded) thin(both, i == 1);
  }
  buckets_.resize((buckets_.size() + 1) / 2);
}

std::vector<TimelinePoint> Timeline::points() const {
  std::vector<TimelinePoint> points;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    Bucket bucket = buckets_[i];
    if (bucket.size() > 4) thin(bucket, i == 0);
    points.insert(points.end(), bucket.begin(), bucket.end());
  }
  const auto same = [](const TimelinePoint& a, const TimelinePoint& b) {
    return a.seconds == b.seconds && a.tokens == b.tokens && a.cache == b.cache && a.resident == b.resident;
  };
  if (!points.empty() && !same(points.back(), last_)) points.push_back(last_);
  return points;
}

void TimelineRecorder::record(Phase phase, std::size_t cache_bytes) {
  const double now = timer_.seconds();
  if (read_at_ < 0 || now - read_at_ >= kSecondsBetweenReadings) {
    resident_ = resident_bytes();
    read_at_ = now;
  }
  timeline_.append(phase, now, tokens_, cache_bytes, resident_);
}

}  // namespace kvpress
