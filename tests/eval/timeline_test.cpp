// Memory along a run against the cache's own counters, and what stays of a long one.
#include "kvpress/eval/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "kvpress/base/memory.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/run.h"
#include "kvpress/press/compressor.h"
#include "small_model.h"

namespace kvpress {
namespace {

std::size_t highest(const std::vector<TimelinePoint>& points, std::size_t TimelinePoint::*member) {
  std::size_t most = 0;
  for (const TimelinePoint& it : points) most = std::max(most, it.*member);
  return most;
}

/// streaming_llm at 0.5 in chunks of 128: n tokens stay of 2 n.
class TimelineOfRun : public testing::Test {
 protected:
  static constexpr std::int64_t kLayers = 3;
  static constexpr std::int64_t kHeads = 2;
  static constexpr std::int64_t kChunk = 128;

  TimelineOfRun()
      : model_(random_model(test::small_config(kLayers, kHeads), {false, DType::f32}, 7)),
        text_(test::random_text(1024)) {
    settings_.protocol.max_length = 512;
    settings_.protocol.chunk_size = kChunk;
    settings_.compression.budget.ratio = 0.5;
    settings_.timeline = true;
  }

  /// What the cache holds at each moment of the segment's chunks, in tokens of all layers: rises by a chunk and falls
  /// by half of one, layer by layer.
  static std::vector<std::int64_t> steps_of_segment() {
    std::vector<std::int64_t> steps;
    for (std::int64_t chunk = 0; chunk < 512 / kChunk; ++chunk) {
      const std::int64_t before = chunk * kChunk / 2;
      const std::int64_t after = before + kChunk / 2;
      for (std::int64_t layer = 0; layer < kLayers; ++layer) {
        const std::int64_t others = layer * after + (kLayers - 1 - layer) * before;
        steps.push_back(others + before + kChunk);
        steps.push_back(others + after);
      }
    }
    return steps;
  }

  /// Whole pages of keys and values, exactly: 16 rows a page; and 4 bytes a position, in vectors that may have grown to
  /// twice what they hold.
  static bool holds(std::size_t bytes, std::int64_t tokens) {
    const auto rows = static_cast<std::size_t>(tokens * kHeads);
    return bytes >= rows * (2 * 64 * 4 + 4) && bytes <= rows * (2 * 64 * 4 + 8);
  }

  RunResult run(const std::string& press) { return test::run_press(model_, {text_}, parse_press(press), settings_); }

  Model model_;
  TokenizedText text_;
  RunSettings settings_;
};

TEST_F(TimelineOfRun, TheCompressorTellsEveryRiseAndFall) {
  Compressor compressor(parse_press("streaming_llm").plan(settings_.compression.budget), 0);
  KVCache cache = compressor.make_cache(model_, DType::f32);
  std::vector<std::size_t> seen;
  std::size_t at_peak = 0;
  compressor.set_pass_watcher([&](PassMoment moment, const KVCache& it) {
    EXPECT_EQ(&it, &cache);
    seen.push_back(it.allocated_bytes());
    if (moment == PassMoment::attended) at_peak = std::max(at_peak, it.allocated_bytes());
  });
  AlignedVector<float> hidden(static_cast<std::size_t>(model_.config().hidden_size));
  const Matrix<float> last(hidden.data(), 1, model_.config().hidden_size);
  for (std::int64_t at = 0; at < 512; at += kChunk) {
    compressor.forward(model_, std::span(text_.ids).subspan(static_cast<std::size_t>(at), kChunk), cache, last);
    // After the layers, before and after what a press does with all of them: nothing here.
    ASSERT_GE(seen.size(), 2u);
    EXPECT_EQ(seen[seen.size() - 1], cache.allocated_bytes());
    EXPECT_EQ(seen[seen.size() - 2], cache.allocated_bytes());
    seen.resize(seen.size() - 2);
  }
  const std::vector<std::int64_t> steps = steps_of_segment();
  ASSERT_EQ(seen.size(), steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_TRUE(holds(seen[i], steps[i])) << i << ": " << seen[i];
  EXPECT_EQ(at_peak, cache.peak_bytes());
}

TEST_F(TimelineOfRun, PointsAreTheCachesOwnNumbers) {
  const RunResult result = run("streaming_llm");
  const std::vector<TimelinePoint> points = result.timeline.points();
  ASSERT_GT(points.size(), 20u);
  EXPECT_EQ(points.front().tokens, 0);
  EXPECT_EQ(points.front().cache, 0u);
  EXPECT_EQ(points.back().tokens, 1024);
  EXPECT_EQ(points.back().cache, result.segments.back().cache_bytes);
  EXPECT_EQ(highest(points, &TimelinePoint::cache), result.cache_bytes_peak);
  // Each point is one of the segment's steps, in their order.
  const std::vector<std::int64_t> steps = steps_of_segment();
  std::size_t step = 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const TimelinePoint& it = points[i];
    EXPECT_GE(it.seconds, points[i - 1].seconds);
    EXPECT_GE(it.tokens, points[i - 1].tokens);
    EXPECT_GT(it.resident, it.cache);
    if (it.cache == 0) {  // the second segment begins
      EXPECT_EQ(it.tokens, 512);
      step = 0;
      continue;
    }
    while (step < steps.size() && !holds(it.cache, steps[step])) ++step;
    ASSERT_LT(step, steps.size()) << it.tokens << " tokens, " << it.cache << " bytes";
    EXPECT_EQ(it.tokens % 512 == 0 ? 512 : it.tokens % 512,
              (static_cast<std::int64_t>(step) / (2 * kLayers) + 1) * kChunk);
  }
}

TEST_F(TimelineOfRun, PhasesTakeTheTimesOfTheRun) {
  for (const char* press : {"snapkv", "no_press", "decoding(knorm)"}) {
    for (const Protocol protocol : {Protocol::chunked, Protocol::continuation, Protocol::decode}) {
      settings_.protocol.protocol = protocol;
      settings_.protocol.context_tokens = 960;
      if (std::string(press).starts_with("decoding") && protocol != Protocol::decode) continue;
      if (protocol == Protocol::decode) {
        settings_.compression.compression_interval = 16;
        settings_.compression.decoding_budget = Budget::of_tokens(500);
      }
      const RunResult result = run(press);
      const auto seconds = [&](Phase phase) { return result.timeline.seconds_of(phase); };
      const double end = result.timeline.points().back().seconds;
      double sum = 0;
      for (std::size_t i = 0; i < kPhases; ++i) sum += seconds(static_cast<Phase>(i));
      EXPECT_NEAR(sum, end, 1e-9 * end) << press;
      // Two clocks around the same work; the calls in between count on one side or the other.
      const double room = 0.1 * end;
      EXPECT_NEAR(seconds(Phase::prefill), result.times.prefill, room) << press << " " << to_string(protocol);
      EXPECT_NEAR(seconds(Phase::compress), result.times.compress, room) << press << " " << to_string(protocol);
      EXPECT_NEAR(seconds(Phase::score) + seconds(Phase::decode), result.times.score, room) << press;
      EXPECT_EQ(seconds(Phase::decode) > 0, protocol == Protocol::decode) << press;
      EXPECT_EQ(highest(result.timeline.points(), &TimelinePoint::cache), result.cache_bytes_peak) << press;
      settings_.compression.compression_interval = 0;
      settings_.compression.decoding_budget = {};
    }
  }
}

TEST_F(TimelineOfRun, IsOnlyThereWhenAskedForAndChangesNothing) {
  const RunResult with = run("snapkv");
  settings_.timeline = false;
  const RunResult without = run("snapkv");
  EXPECT_TRUE(without.timeline.empty());
  EXPECT_TRUE(without.timeline.points().empty());
  EXPECT_EQ(with.nll, without.nll);
  EXPECT_EQ(with.cache_bytes_peak, without.cache_bytes_peak);
}

TEST(Timeline, KeepsThePeaksOfALongRunInFewPoints) {
  std::mt19937 random(5);
  Timeline timeline;
  std::vector<TimelinePoint> all;
  double now = 0;
  std::array<double, kPhases> spent = {};
  for (std::size_t i = 0; i < 300'000; ++i) {
    const double step = 1e-5 * static_cast<double>(1 + random() % 400);
    now += i == 0 ? 0 : step;
    const auto phase = static_cast<Phase>(random() % kPhases);
    if (i > 0) spent[static_cast<std::size_t>(phase)] += step;
    // Single peaks and dips among noise: nothing but keeping them finds them.
    const std::size_t cache = random() % 20'000 == 0 ? 5000 + random() % 1000 : 1000 + random() % 100;
    const std::size_t resident = random() % 20'000 == 0 ? 10 : 9000 + random() % 100;
    all.push_back({now, static_cast<std::int64_t>(i), cache, resident, {}});
    timeline.append(phase, now, static_cast<std::int64_t>(i), cache, resident);
  }
  const std::vector<TimelinePoint> points = timeline.points();
  EXPECT_LE(points.size(), 4 * Timeline::kBuckets + 2);
  EXPECT_GE(points.size(), Timeline::kBuckets / 2);
  EXPECT_EQ(points.front().tokens, 0);
  EXPECT_EQ(points.back().tokens, 299'999);
  for (std::size_t i = 0; i < kPhases; ++i) {
    EXPECT_NEAR(timeline.seconds_of(static_cast<Phase>(i)), spent[i], 1e-6);
    EXPECT_NEAR(points.back().spent[i], spent[i], 1e-6);
  }
  // Every point is one that was there, in order; and whatever stands out in its neighbourhood is among them.
  std::size_t at = 0;
  std::vector<bool> kept(all.size());
  for (const TimelinePoint& it : points) {
    ASSERT_GE(static_cast<std::size_t>(it.tokens), at);
    at = static_cast<std::size_t>(it.tokens);
    EXPECT_EQ(it.seconds, all[at].seconds);
    EXPECT_EQ(it.cache, all[at].cache);
    EXPECT_EQ(it.resident, all[at].resident);
    kept[at] = true;
  }
  const double bucket = 2 * now / static_cast<double>(Timeline::kBuckets);
  std::size_t n_alone = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool peak = all[i].cache >= 5000;
    if (!peak && all[i].resident != 10) continue;
    const bool alone = std::none_of(all.begin(), all.end(), [&](const TimelinePoint& it) {
      return it.tokens != all[i].tokens && (peak ? it.cache >= 5000 : it.resident == 10) &&
             std::abs(it.seconds - all[i].seconds) <= bucket;
    });
    n_alone += alone;
    EXPECT_TRUE(!alone || kept[i]) << i;
  }
  EXPECT_GT(n_alone, 5u);
}

TEST(Timeline, TellsWhatMostOfTheTimeWasSpentOn) {
  Timeline timeline;
  timeline.append(Phase::prefill, 0, 0, 0, 0);
  // Within one millisecond: 20 points of two phases, of which the extremes stay.
  for (int i = 1; i <= 20; ++i) {
    timeline.append(i % 2 == 0 ? Phase::compress : Phase::prefill, (i * 40 + (i % 2 == 0 ? 0 : 10)) * 1e-6, i,
                    static_cast<std::size_t>(i), 7);
  }
  const std::vector<TimelinePoint> points = timeline.points();
  ASSERT_EQ(points.size(), 2u);  // the first is the smallest, the last the largest
  EXPECT_EQ(points.back().tokens, 20);
  EXPECT_EQ(points.back().phase_since(points.front()), Phase::prefill);  // 50 us of each 80
  EXPECT_NEAR(timeline.seconds_of(Phase::prefill), 500e-6, 1e-9);
  EXPECT_NEAR(timeline.seconds_of(Phase::compress), 300e-6, 1e-9);
}

TEST(Timeline, OneLongPhaseTakesOneBucketAndALongPauseNone) {
  Timeline timeline;
  timeline.append(Phase::prefill, 0, 0, 1, 1);
  timeline.append(Phase::prefill, 3600, 5, 2, 2);
  timeline.append(Phase::score, 3600.5, 5, 2, 2);
  EXPECT_EQ(timeline.points().size(), 3u);
  EXPECT_EQ(timeline.points()[1].seconds, 3600);
  EXPECT_EQ(timeline.seconds_of(Phase::score), 0.5);
}

}  // namespace
}  // namespace kvpress
