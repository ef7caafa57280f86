// The words on top of a report, held to rows whose answer is plain.
#include "report/documents/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "report/page/html_report.h"

namespace kvpress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

RunRow run(const std::string& press, double ratio, double percent_above, double bytes, double seconds,
           const std::string& protocol = "chunked") {
  RunRow row;
  row.press = press;
  row.dataset = "pg19_ppl";
  row.model = "demo";
  row.protocol = protocol;
  row.compression_ratio = ratio;
  const double delta = std::log1p(percent_above / 100);
  row.numbers = {{"delta_nll", delta}, {"cache_bytes", bytes}, {"total_runtime_sec", seconds}};
  row.intervals["delta_nll"] = {delta - 0.004, delta + 0.004};
  return row;
}

constexpr double kMiB = 1 << 20;

std::vector<std::string> sentences(const std::vector<RunRow>& rows) {
  const auto findings = findings_of(panels_of(rows));
  EXPECT_EQ(findings.size(), 1u);
  return findings.front().sentences;
}

TEST(Findings, TheAnswerInWords) {
  const std::vector<RunRow> rows = {
      run("no_press", 0, 0, 8 * kMiB, 10),       run("knorm", 0.5, 1, 4 * kMiB, 9),
      run("snapkv", 0.5, 0.5, 4 * kMiB, 9.9),    run("knorm", 0.75, 30, 2 * kMiB, 8),
      run("snapkv", 0.75, 1.2, 2 * kMiB, 12),    run("knorm", 0.25, 0.1, 6 * kMiB, 10),
      run("snapkv", 0.25, -0.3, 6 * kMiB, 10.1), run("tova", 0, 0, 8 * kMiB, 1),  // kept everything: wins nothing
  };
  EXPECT_THAT(
      sentences(rows),
      ElementsAre(
          "snapkv stays near the full cache with up to 75 % of it evicted, the most of all presses.",
          "With 25 % of the cache evicted, both presses stay near the full cache: snapkv (-0.3 %) and knorm (+0.1 %).",
          "With 50 % of the cache evicted, both presses stay near the full cache: snapkv (+0.5 %) and knorm (+1.0 %).",
          "With 75 % of the cache evicted, 1 of 2 presses stays near the full cache: snapkv (+1.2 %); knorm is the "
          "farthest (perplexity +30 %).",
          "The smallest cache has 2.00 MiB instead of 8.00 MiB (25 %): knorm at 0.75.",
          "2 of 6 runs are faster than the full cache (10 s), the fastest is knorm at 0.75 (-20 %); the slowest is "
          "snapkv at 0.75 (+20 %)."));
}

TEST(Findings, TheUpperEndOfTheIntervalDecides) {
  // 1.8 % above, but perhaps 2.2.
  EXPECT_THAT(
      sentences({run("no_press", 0, 0, kMiB, 1), run("knorm", 0.5, 1.8, kMiB, 1)}),
      ElementsAre("No press stays near the full cache at any measured share.",
                  "With 50 % of the cache evicted, knorm does not stay near the full cache (perplexity +1.8 %).",
                  "No run is more than 3 % faster than the full cache (1 s)."));
}

TEST(Findings, ARatioBeyondABadOneDoesNotCount) {
  // Near again at 0.75 by chance: nobody may rely on it.
  EXPECT_THAT(sentences({run("no_press", 0, 0, kMiB, 1), run("knorm", 0.25, 0, kMiB, 1), run("knorm", 0.5, 9, kMiB, 1),
                         run("knorm", 0.75, 0, kMiB, 1)})
                  .front(),
              "knorm stays near the full cache with up to 25 % of it evicted, the most of all presses.");
}

TEST(Findings, ScoresAreBetterWhenHigher) {
  std::vector<RunRow> rows = {run("no_press", 0, 0, 0, 0), run("knorm", 0.5, 0, 0, 0)};
  for (RunRow& it : rows) {
    it.intervals.clear();
    it.numbers = {{"mean.string_match", it.is_full_cache() ? 80.0 : 60.0}};
  }
  EXPECT_THAT(sentences(rows)[1], HasSubstr("knorm does not stay near the full cache"));
  EXPECT_THAT(sentences(rows)[1], HasSubstr("+25 %"));
}

/// A press that kept everything, one that evicted half of what was asked, and one that evicted it all at one ratio.
TEST(Findings, GoByWhatWasEvicted) {
  std::vector<RunRow> rows = {run("no_press", 0, 0, kMiB, 1), run("simlayerkv", 0.5, 0, kMiB, 1),
                              run("think", 0.5, 1, kMiB, 1),  run("knorm", 0.25, 5, kMiB, 1),
                              run("knorm", 0.5, 9, kMiB, 1),  run("snapkv", 0.5, 8, kMiB, 1)};
  rows[1].evicted_share = 0;
  rows[2].evicted_share = 0.24;
  rows[5].evicted_share = 0.515;
  EXPECT_THAT(sentences(rows),
              ElementsAre("think stays near the full cache with up to 25 % of it evicted, the most of all presses.",
                          "With 25 % of the cache evicted, 1 of 2 presses stays near the full cache: think (+1.0 %); "
                          "knorm is the farthest (perplexity +5.0 %).",
                          "With 52 % of the cache evicted, none of 2 presses stays near the full cache; snapkv is the "
                          "nearest (perplexity +8.0 %); knorm is the farthest (perplexity +9.0 %).",
                          "simlayerkv evicted nothing, whatever was asked for, and is not ranked.",
                          "No run is more than 3 % faster than the full cache (1 s)."));
}

TEST(Findings, ThoseThatCannotBeToldApartAreTied) {
  std::vector<RunRow> rows = {run("no_press", 0, 0, kMiB, 1), run("knorm", 0.5, 9, kMiB, 1),
                              run("snapkv", 0.5, 8, kMiB, 1), run("tova", 0.5, 20, kMiB, 1)};
  rows[1].units = {false, {0.05, 0.12, 0.08}, {0, 0, 0}};
  rows[2].units = {false, {0.06, 0.07, 0.11}, {0, 0, 0}};
  rows[3].units = {false, {0.19, 0.25, 0.21}, {0, 0, 0}};
  EXPECT_THAT(sentences(rows)[1],
              "With 50 % of the cache evicted, none of 3 presses stays near the full cache; snapkv is the nearest "
              "(perplexity +8.0 %, tied with knorm); tova is the farthest (perplexity +20 %).");
}

TEST(Findings, NothingToCompareIsSaid) {
  EXPECT_THAT(sentences({run("no_press", 0, 0, kMiB, 1)}).front(), StartsWith("Nothing to compare"));
}

TEST(Findings, OfWindowNothingIsSaidAboutQuality) {
  const std::vector<RunRow> rows = {run("no_press", 0, 0, kMiB, 1, "window"),
                                    run("knorm", 0.5, 0, kMiB / 2, 1, "window")};
  EXPECT_THAT(sentences(rows).front(),
              StartsWith("No statement about quality: protocol window scores tokens in the pass"));
  const std::string page = html_report(rows, {});
  EXPECT_THAT(page, HasSubstr("id=\"caveat\""));
  EXPECT_THAT(page, HasSubstr("Some runs used protocol window"));
  EXPECT_THAT(html_report({run("knorm", 0.5, 0, kMiB, 1)}, {}), Not(HasSubstr("id=\"caveat\"")));
}

}  // namespace
}  // namespace kvpress
