// Styles of presses, panels and the Pareto front.
#include "report/pictures/panels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "kvpress/press/registry.h"
#include "press/flat_names.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/palette.h"

namespace kvpress {
namespace {

RunRow run(const std::string& press, double ratio, std::map<std::string, double> numbers,
           std::map<std::string, std::string> settings = {}) {
  RunRow row;
  row.press = press;
  row.dataset = "pg19_ppl";
  row.model = "demo";
  row.protocol = "chunked";
  row.compression_ratio = ratio;
  row.numbers = std::move(numbers);
  row.settings = std::move(settings);
  return row;
}

/// Every name a person may write without parentheses, and some with.
std::vector<std::string> many_names() {
  std::set<std::string> names = {"no_press", "adakv(snapkv)", "snapkv(window_size=32)", "composed(snapkv, think)"};
  for (const PressEntry* it : press_entries()) names.insert(std::string(it->name));
  for (const FlatName& it : flat_names()) names.insert(std::string(it.name));
  for (int i = 0; i < 100; ++i) names.insert("snapkv(window_size=" + std::to_string(i) + ")");
  return {names.begin(), names.end()};
}

TEST(Palette, APressLooksTheSameInEveryPicture) {
  const auto all = press_styles(many_names());
  for (const PressEntry* it : press_entries()) {
    const std::string name(it->name);
    EXPECT_EQ(press_styles({name}).at(name), all.at(name)) << name;
  }
  std::vector<std::string> shuffled = many_names();
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  EXPECT_EQ(press_styles(shuffled), all);
}

TEST(Palette, NoTwoPressesOfAPictureLookTheSame) {
  std::set<std::string> seen;
  const auto styles = press_styles(many_names());
  ASSERT_GT(styles.size(), 150u);
  for (const auto& [name, style] : styles) {
    EXPECT_TRUE(seen.insert(gnuplot_style(style)).second) << name << " looks like another";
  }
}

TEST(Palette, TheMostCommonHaveColoursOfTheirOwn) {
  std::set<std::string_view> colors;
  for (const char* name :
       {"snapkv", "knorm", "expected_attention", "streaming_llm", "tova", "keydiff", "observed_attention", "random"}) {
    EXPECT_TRUE(colors.insert(press_styles({name}).at(name).color.light).second) << name;
  }
}

TEST(ParetoFront, IsThatOfBruteForce) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Point> points(random() % 60);
    // Few values: many are equal in one or both.
    for (Point& it : points) it = {static_cast<double>(random() % 12), static_cast<double>(random() % 12)};
    const std::vector<bool> front = pareto_front(points);
    ASSERT_EQ(front.size(), points.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
      const bool beaten = std::any_of(points.begin(), points.end(), [&](const Point& it) {
        return it.x <= points[i].x && it.y <= points[i].y && (it.x < points[i].x || it.y < points[i].y);
      });
      EXPECT_EQ(front[i], !beaten) << "round " << round << ", point " << i;
    }
  }
}

TEST(Panels, KeepApartWhatCannotBeCompared) {
  const auto rows = {run("snapkv", 0.5, {{"kl_full", 0.1}}, {{"chunk_size", "256"}}),
                     run("snapkv", 0.5, {{"kl_full", 0.2}}, {{"chunk_size", "128"}}),
                     run("knorm", 0.5, {{"kl_full", 0.3}}, {{"chunk_size", "128"}})};
  const std::vector<Panel> panels = panels_of(rows);
  ASSERT_EQ(panels.size(), 2u);
  EXPECT_EQ(panels[0].title(), "pg19_ppl, chunked, demo, chunk_size 128");
  EXPECT_EQ(panels[0].series.size(), 2u);
  EXPECT_EQ(panels[1].series.size(), 1u);
}

TEST(Panels, RepeatsAreTheirMedianWithTheirSpread) {
  const auto rows = {run("knorm", 0.5, {{"prefill_sec", 3.0}}), run("knorm", 0.5, {{"prefill_sec", 1.0}}),
                     run("knorm", 0.5, {{"prefill_sec", 1.5}}), run("knorm", 0.25, {{"prefill_sec", 9.0}}),
                     run("no_press", 0.0, {{"prefill_sec", 2.0}})};
  const std::vector<Panel> panels = panels_of(rows);
  ASSERT_EQ(panels.size(), 1u);
  ASSERT_NE(panels[0].full_cache(), nullptr);
  EXPECT_EQ(panels[0].full_cache()->number("prefill_sec"), 2.0);
  const Series& knorm = panels[0].series[1];
  ASSERT_EQ(knorm.runs.size(), 2u);
  EXPECT_EQ(knorm.runs[0].compression_ratio, 0.25);
  EXPECT_EQ(knorm.runs[1].number("prefill_sec"), 1.5);
  EXPECT_EQ(knorm.runs[1].interval("prefill_sec")->low, 1.0);
  EXPECT_EQ(knorm.runs[1].interval("prefill_sec")->high, 3.0);
}

}  // namespace
}  // namespace kvpress
