#include "eval/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refused(const std::string& ratios) {
  try {
    parse_ratios(ratios, "--ratios");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ParseRatios, NumbersAndRanges) {
  EXPECT_THAT(parse_ratios("0.5", "--ratios"), ElementsAre(0.5));
  EXPECT_THAT(parse_ratios("0.75, 0.25", "--ratios"), ElementsAre(0.25, 0.75));
  // Each is the number that one would write, not the sum of so many steps.
  EXPECT_THAT(parse_ratios("0.0:0.9:0.1,0.25", "--ratios"),
              ElementsAre(0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9));
  EXPECT_THAT(parse_ratios("0.1:0.3:0.15", "--ratios"), ElementsAre(0.1, 0.25));
}

TEST(ParseRatios, SaysWhatIsWrong) {
  EXPECT_THAT(refused("0.5,x"), HasSubstr("--ratios: 'x' is neither a ratio such as 0.5 nor a range"));
  EXPECT_THAT(refused("1"), HasSubstr("1 is not a compression ratio; it must be in [0, 1)"));
  EXPECT_THAT(refused("-0.1"), HasSubstr("it must be in [0, 1)"));
  EXPECT_THAT(refused("0:0.9"), HasSubstr("write first:last:step"));
  EXPECT_THAT(refused("0:0.9:0"), HasSubstr("is not an ascending range"));
  EXPECT_THAT(refused("0.9:0.1:0.1"), HasSubstr("is not an ascending range"));
  EXPECT_THAT(refused("0:0.9:1e-9"), HasSubstr("is not an ascending range"));
  EXPECT_THAT(refused("0:0.5:0.1,0.3"), HasSubstr("0.3 is given twice"));
  EXPECT_THAT(refused(""), HasSubstr("is neither a ratio"));
}

SweepGrid small_grid() {
  return {{"wikitext_ppl", "pg19_ppl"},
          {"chunked", "continuation"},
          {"knorm", "decoding(knorm, target_size=64)"},
          {0.0, 0.5, 0.75},
          3,
          7};
}

TEST(SweepRuns, HaveEachRunOnceAndTheFullCacheFirst) {
  const std::vector<SweepRun> runs = sweep_runs(small_grid());
  // The full cache, knorm at three ratios, and what decides without one.
  EXPECT_EQ(runs.size(), 2u * 2u * 3u * (1u + 3u + 1u));
  std::set<std::tuple<std::size_t, std::size_t, std::string, double, int>> different;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    different.insert({runs[i].dataset, runs[i].protocol, runs[i].press, runs[i].ratio, runs[i].repeat});
    if (i == 0 || !runs[i].same_experiment(runs[i - 1])) {
      EXPECT_EQ(runs[i].press, "no_press");
      EXPECT_EQ(runs[i].repeat, 0);
    }
  }
  EXPECT_EQ(different.size(), runs.size());
}

TEST(SweepRuns, AreDrawnInAnOrderThatTheSeedFixes) {
  const auto order = [](std::uint64_t seed) {
    SweepGrid grid = small_grid();
    grid.seed = seed;
    std::vector<std::pair<std::string, double>> result;
    for (const SweepRun& it : sweep_runs(grid)) result.emplace_back(it.press, it.ratio);
    return result;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

TEST(SweepRuns, RefuseAGridThatIsNone) {
  const auto refuses = [](auto change) {
    SweepGrid grid = small_grid();
    change(grid);
    EXPECT_THROW(sweep_runs(grid), UsageError);
  };
  refuses([](SweepGrid& grid) { grid.datasets.clear(); });
  refuses([](SweepGrid& grid) { grid.protocols.clear(); });
  refuses([](SweepGrid& grid) { grid.presses.clear(); });
  refuses([](SweepGrid& grid) { grid.ratios.clear(); });
  refuses([](SweepGrid& grid) { grid.repeats = 0; });
  refuses([](SweepGrid& grid) { grid.presses.push_back("knorm"); });
  refuses([](SweepGrid& grid) { grid.datasets.push_back("pg19_ppl"); });
  refuses([](SweepGrid& grid) { grid.presses.push_back("nix"); });
}

TEST(SliceOf, CoversAllRunsOnce) {
  for (const std::size_t n : {1u, 7u, 98u}) {
    for (const std::size_t k : {1u, 3u, 16u}) {
      std::size_t next = 0;
      for (std::size_t i = 0; i < k; ++i) {
        const SweepSlice slice = slice_of(n, i, k);
        EXPECT_EQ(slice.first, next);
        next = slice.last;
      }
      EXPECT_EQ(next, n);
    }
  }
}

}  // namespace
}  // namespace kvpress
