// The page and the pictures of gnuplot show the same rows with the same colours, order and words.
#include "report/pictures/charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "kept_tokens_example.h"
#include "report/page/html_report.h"
#include "report/page/page_parts.h"
#include "report/pictures/kept_tokens_picture.h"
#include "report/pictures/timeline_picture.h"
#include "report/pictures/tradeoff.h"

namespace kvpress {
namespace {

using testing::HasSubstr;
using Strings = std::vector<std::string>;

RunRow run(const std::string& press, const std::string& dataset, double ratio, double delta_nll) {
  RunRow row;
  row.press = press;
  row.dataset = dataset;
  row.model = "demo";
  row.protocol = "chunked";
  row.compression_ratio = ratio;
  row.numbers = {{"delta_nll", delta_nll}, {"cache_bytes", 6e6 * (1 - ratio)}, {"total_runtime_sec", 2 - ratio}};
  return row;
}

/// Two panels; losses and sizes that want logarithmic axes.
std::vector<RunRow> some_rows() {
  std::vector<RunRow> rows;
  for (const char* dataset : {"b", "a"}) {
    for (const char* press : {"snapkv", "knorm", "no_press", "adakv(snapkv)"}) {
      for (const double ratio : {0.5, 0.95}) {
        const bool full = press == std::string("no_press");
        rows.push_back(run(press, dataset, full ? 0 : ratio, full ? 0 : ratio < 0.9 ? 0.01 : 1));
      }
    }
  }
  rows[0].timeline = {{Phase::prefill, 0, 0, 0, 60 << 20},
                      {Phase::prefill, 0.5, 64, 6 << 20, 66 << 20},
                      {Phase::compress, 0.75, 64, 3 << 20, 63 << 20},
                      {Phase::decode, 1.5, 96, 4 << 20, 64 << 20}};
  return rows;
}

Json page_data(const std::vector<RunRow>& rows, const ReportExtras& extras = {}) {
  const std::string page = html_report(rows, extras);
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const std::size_t at = page.find(begin) + begin.size();
  return Json::parse(page.substr(at, page.find("</script>", at) - at));
}

/// The first group of every match.
Strings matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  Strings found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) found.push_back((*it)[1]);
  return found;
}

std::string text_of(const Json& json) { return json.get<std::string>(); }

TEST(Charts, TheTradeoffIsTheSameInThePictureAndOnThePage) {
  const std::vector<RunRow> rows = some_rows();
  const Json page = page_data(rows);
  const std::string script = tradeoff_drawing(rows).script;

  Strings labels;
  Strings colors;
  for (const Json& it : page["presses"]) {
    labels.push_back(text_of(it["label"]));
    colors.push_back(text_of(it["color"]["light"]));
  }
  labels.push_back(text_of(page["front"]["label"]));
  colors.push_back(text_of(page["front"]["color"]["light"]));
  EXPECT_THAT(labels, testing::ElementsAre("no_press (full cache)", "adakv(snapkv)", "knorm", "snapkv",
                                           "Pareto front (no run is better on both axes)"));
  EXPECT_EQ(matches(script, "NaN with [^']*'[^']*'[^']* title '([^']*)'"), labels);
  EXPECT_EQ(matches(script, "NaN with [^']*'([^']*)'[^']* title"), colors);

  Strings panels;
  for (const Json& it : page["panels"]) panels.push_back(text_of(it["title"]));
  EXPECT_EQ(matches(script, "set label 99 '([^']*)'"), panels);
  // The curves of a panel, in its order and in the colours of the legend.
  Strings curves;
  for (const Json& panel : page["panels"]) {
    for (int plot = 0; plot < 3; ++plot) {
      for (const Json& line : panel["lines"]) {
        for (const Json& it : page["presses"]) {
          if (it["name"] == line["press"]) curves.push_back(text_of(it["color"]["light"]));
        }
      }
    }
  }
  EXPECT_EQ(matches(script, "using 1:2 with (?:linespoints|points) lw 2 lc rgb '([^']*)'"), curves);

  Strings x_titles;
  Strings y_titles;
  Strings x_logs;
  for (std::size_t panel = 0; panel < page["panels"].size(); ++panel) {
    for (const Json& it : page["costs"]) {
      x_titles.push_back(text_of(it["title"]));
      y_titles.push_back(text_of(page["quality"][0]["title"]));
      x_logs.emplace_back(it["log"] == true ? "set" : "unset");
    }
  }
  EXPECT_EQ(matches(script, "set xlabel '([^']*)'"), x_titles);
  EXPECT_EQ(matches(script, "set ylabel '([^']*)'"), y_titles);
  EXPECT_EQ(matches(script, "(set|unset) logscale x"), x_logs);
  EXPECT_THAT(x_logs, testing::ElementsAre("unset", "set", "unset", "unset", "set", "unset"));
  EXPECT_EQ(page["quality"][0]["log"], true);
  EXPECT_EQ(matches(script, "(set|unset) logscale y"), Strings(6, "set"));
}

TEST(Charts, MemoryAlongARunIsTheSameInThePictureAndOnThePage) {
  const std::vector<RunRow> rows = some_rows();
  const Json page = page_data(rows)["memory"];
  const std::string script = timeline_drawing(timelines_of(rows)).script;
  Strings labels;
  Strings colors;
  for (const Json& it : page["curves"]) {
    labels.push_back(text_of(it["title"]));
    colors.push_back(text_of(it["style"]["color"]["light"]));
  }
  EXPECT_EQ(matches(script, "label '([^']*MiB[^']*)'"),
            (Strings{text_of(page["curves"][0]["axis"]), text_of(page["curves"][1]["axis"])}));
  EXPECT_EQ(matches(script, "label '[^']*MiB[^']*' textcolor rgb '([^']*)'"), colors);
  // The phases there are: all but score.
  for (const char* phase : {"prefill", "compress", "decode"}) {
    for (const Json& it : page["phases"]) {
      if (it["name"] != phase) continue;
      labels.emplace_back(phase);
      colors.push_back(text_of(it["color"]["light"]));
    }
  }
  EXPECT_EQ(matches(script, "NaN with [^']*'[^']*'[^']* title '([^']*)'"), labels);
  EXPECT_EQ(matches(script, "NaN with [^']*'([^']*)'[^']* title"), colors);
  EXPECT_EQ(matches(script, "set xlabel '([^']*)'"), Strings{text_of(page["axes"][1]["title"])});
  EXPECT_EQ(page["runs"][0]["bands"],
            Json::parse(R"([{"phase": 0, "first": 0, "last": 1}, {"phase": 1, "first": 1, "last": 2},
                            {"phase": 3, "first": 2, "last": 3}])"));
}

TEST(Charts, TheHeatMapIsTheSameInThePictureAndOnThePage) {
  ReportExtras extras;
  extras.kept_tokens = {test::example_run()};
  const Json page = page_data(some_rows(), extras)["heatmaps"];
  const std::string script = kept_tokens_drawing(extras.kept_tokens.front(), true).script;
  Strings colors;
  for (const Json& it : page["look"]["scale"]) colors.push_back(text_of(it["color"]["light"]));
  ASSERT_EQ(colors.size(), 3u);
  EXPECT_THAT(script,
              HasSubstr("set palette defined (0 '" + colors[0] + "', 0.5 '" + colors[1] + "', 1 '" + colors[2] + "')"));
  EXPECT_EQ(matches(script, "set xlabel '([^']*)'"), Strings{text_of(page["look"]["position_axis"])});
  EXPECT_EQ(matches(script, "set ylabel '([^']*)'"),
            (Strings{text_of(page["runs"][0]["layer_axis"]), text_of(page["look"]["share_axis"])}));
}

TEST(Charts, ThePageHasNoColoursOfItsOwnForThem) {
  for (const char* part : {"base.js", "plot.js", "curves.js", "table.js", "timeline.js", "heatmap.js", "start.js"}) {
    const std::string script(page_part(part));
    ASSERT_FALSE(script.empty()) << part;
    EXPECT_THAT(matches(script, "(#[0-9a-fA-F]{6})"), testing::IsEmpty()) << part;
  }
}

TEST(Charts, APanelWithoutValuesAbove0HasALinearAxis) {
  std::vector<RunRow> rows = some_rows();
  rows.push_back(run("no_press", "c", 0, 0));
  const Strings scales = matches(tradeoff_drawing(rows).script, "(set|unset) logscale y");
  EXPECT_EQ(Strings(scales.begin() + 6, scales.end()), Strings(3, "unset"));
}

}  // namespace
}  // namespace kvpress
