// report.html in a real browser: what a person can do with it, compared with the rows it was made of.
#include "browser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/file.h"
#include "report/page/html_report.h"
#include "report/pictures/panels.h"
#include "report/pictures/timeline_picture.h"

namespace kvpress {
namespace {

using test::Browser;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHostile = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>";

RunRow run(const std::string& press, const std::string& dataset, double ratio, double kl) {
  RunRow row;
  row.press = press;
  row.dataset = dataset;
  row.model = "demo";
  row.protocol = "chunked";
  row.compression_ratio = ratio;
  row.numbers = {{"kl_full", kl},
                 {"delta_nll", 0.8 * kl},
                 {"perplexity", 40 + kl},
                 {"top1_agreement", 1 - kl / 10},
                 {"cache_bytes", 6e6 * (1 - ratio)},
                 {"total_runtime_sec", 1 + kl}};
  row.intervals = {{"delta_nll", {0.7 * kl, 0.9 * kl}}};
  row.settings = {{"cpu", "</script><b>cpu</b>"}};
  row.folder = "/runs/" + press;
  return row;
}

std::vector<RunRow> some_rows() {
  std::vector<RunRow> rows = {run("no_press", "a", 0, 0)};
  double kl = 0.01;
  for (const char* press : {"snapkv", "knorm", "adakv(snapkv)", kHostile}) {
    for (const double ratio : {0.25, 0.5, 0.75}) rows.push_back(run(press, "a", ratio, kl *= 1.3));
  }
  rows.push_back(run("snapkv", "</script><script>window.hacked=2</script>", 0.5, 0.3));
  return rows;
}

class ReportPage : public testing::Test {
 protected:
  void SetUp() override {
    if (test::find_browser().empty()) GTEST_SKIP() << "no Chromium here: apt-get install chromium";
    browser_ = std::make_unique<Browser>();
  }

  void open(const std::vector<RunRow>& rows, int width = 1280, int height = 900, bool phone = false) {
    const auto page = folder_.path() / "report.html";
    write_html_report(rows, {}, page);
    browser_->open(page, width, height, phone);
  }
  Browser::Json js(const std::string& expression) { return browser_->evaluate(expression); }
  /// Chooses an entry of a <select> as a person's choice reaches the page.
  void choose(const std::string& id, const std::string& value) {
    js("(() => { const it = byId('" + id + "'); it.value = '" + value +
       "'; it.dispatchEvent(new Event('change', {bubbles: true})); })()");
    browser_->settle();
  }
  void type(const std::string& id, const std::string& text) {
    js("(() => { const it = byId('" + id + "'); it.value = '" + text +
       "'; it.dispatchEvent(new Event('input', {bubbles: true})); })()");
    js("new Promise(done => setTimeout(done, 150))");
  }
  /// Into the folder that KVPRESS_SCREENSHOTS names, for people.
  void screenshot(const std::string& name) {
    if (const char* folder = std::getenv("KVPRESS_SCREENSHOTS")) {
      browser_->screenshot(std::filesystem::path(folder) / name);
    }
  }
  void expect_clean() {
    EXPECT_THAT(browser_->complaints, IsEmpty());
    for (const std::string& it : browser_->requests) {
      EXPECT_TRUE(it.starts_with("file://") || it.starts_with("data:") || it.starts_with("blob:")) << it;
    }
    EXPECT_EQ(js("window.hacked === undefined"), true);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Browser> browser_;
};

/// The plot whose panel has most points.
const std::string kPlot =
    "[...document.querySelectorAll('#panels canvas')].map(it => it.plot).sort((a, b) => b.hits.length - "
    "a.hits.length)[0]";

TEST_F(ReportPage, HoverTellsTheNumbersOfTheRows) {
  const std::vector<RunRow> rows = some_rows();
  open(rows);
  choose("y-measure", "kl_full");
  js(kPlot + ".canvas.scrollIntoView({block: 'center', behavior: 'instant'})");
  browser_->settle();
  const auto hits =
      js(kPlot + ".hits.map(it => ({px: it.px, py: it.py, x: it.point.x, y: it.point.y, press: it.series.name}))");
  const auto box = js("(() => { const b = " + kPlot + ".canvas.getBoundingClientRect(); return [b.x, b.y]; })()");
  ASSERT_GE(hits.size(), 12u);
  for (const auto& hit : hits) {
    browser_->move_to(box[0].get<double>() + hit["px"].get<double>(), box[1].get<double>() + hit["py"].get<double>());
    const std::string said = js("byId('tooltip').hidden ? '' : byId('tooltip').innerText").get<std::string>();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const RunRow& it) {
      return it.dataset == "a" && it.press == hit["press"].get<std::string>() &&
             it.compression_ratio == hit["x"].get<double>();
    });
    ASSERT_NE(row, rows.end()) << hit;
    EXPECT_NEAR(hit["y"].get<double>(), *row->number("kl_full"), 1e-6);
    EXPECT_THAT(said, HasSubstr(row->press));
    const std::string shown = js("formatted(" + std::to_string(*row->number("kl_full")) + ")").get<std::string>();
    EXPECT_THAT(said, HasSubstr(shown));
  }
  expect_clean();
}

TEST_F(ReportPage, PointsStandWhereTheirNumbersSay) {
  open(some_rows());
  choose("y-measure", "kl_full");
  for (const bool log : {false, true}) {
    js("(() => { const it = byId('log-y'); if (it.checked !== " + std::string(log ? "true" : "false") +
       ") it.click(); })()");
    browser_->settle();
    // Two points fix the axis; all others must lie on it.
    const auto worst =
        js("(() => { const f = " + std::string(log ? "Math.log" : "(v => v)") + ", h = " + kPlot +
           ".hits.filter(it => it.point.y > 0).sort((a, b) => a.point.y - b.point.y); const a = h[0], b = "
           "h[h.length - 1]; return Math.max(...h.map(it => Math.abs(it.py - (a.py + (f(it.point.y) - "
           "f(a.point.y)) / (f(b.point.y) - f(a.point.y)) * (b.py - a.py))))); })()");
    EXPECT_LT(worst.get<double>(), 0.01) << "log " << log;
    EXPECT_EQ(js(kPlot + ".hits.every(it => it.point.y > 0)"), log) << "the full cache's 0 has no logarithm";
  }
  expect_clean();
}

TEST_F(ReportPage, AxesCanBeChosen) {
  open(some_rows());
  choose("y-measure", "perplexity");
  choose("x-measure", "cache_bytes");
  const auto knorm = js(kPlot + ".hits.filter(it => it.series.name === 'knorm').map(it => [it.point.x, it.point.y])");
  ASSERT_EQ(knorm.size(), 3u);
  for (const auto& it : knorm) {
    const auto rows = some_rows();
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const RunRow& row) {
      return row.press == "knorm" && std::abs(*row.number("cache_bytes") / (1 << 20) - it[0].get<double>()) < 1e-5 &&
             std::abs(*row.number("perplexity") - it[1].get<double>()) < 1e-5;
    })) << it;
  }
  choose("x-measure", "total_runtime_sec");
  choose("y-measure", "top1_agreement");
  EXPECT_NEAR(js(kPlot + ".hits.find(it => it.series.name === 'no_press').point.y").get<double>(), 100, 1e-9);
  expect_clean();
}

TEST_F(ReportPage, TheLegendHidesAndShows) {
  open(some_rows());
  const std::string knorm = "document.querySelector('#legend button[data-press=knorm]')";
  const std::string names = "[...new Set(" + kPlot + ".hits.map(it => it.series.name))].sort().join()";
  const std::string all = js(names).get<std::string>();
  EXPECT_THAT(all, HasSubstr("knorm"));
  browser_->click(knorm);
  EXPECT_EQ(js(knorm + ".getAttribute('aria-pressed')"), "false");
  js(kPlot + ".canvas.scrollIntoView()");
  browser_->settle();
  EXPECT_THAT(js(names).get<std::string>(), testing::Not(HasSubstr("knorm")));
  browser_->click(knorm);
  js(kPlot + ".canvas.scrollIntoView()");
  browser_->settle();
  EXPECT_EQ(js(names).get<std::string>(), all);
  expect_clean();
}

TEST_F(ReportPage, TheTableSortsAndFilters) {
  const std::vector<RunRow> rows = some_rows();
  open(rows);
  const std::string heading =
      "[...document.querySelectorAll('#table th button')].find(it => it.textContent === 'perplexity')";
  const std::string column =
      "[...document.querySelectorAll('#table tbody tr:not(.spacer)')].map(it => Number(it.cells["
      "table.columns.findIndex(c => c.key === 'perplexity')].textContent))";
  std::vector<double> expected;
  for (const RunRow& row : rows) expected.push_back(*row.number("perplexity"));
  std::sort(expected.begin(), expected.end());
  browser_->click(heading);
  auto shown = js(column).get<std::vector<double>>();
  ASSERT_EQ(shown.size(), expected.size());
  for (std::size_t i = 0; i < shown.size(); ++i) EXPECT_NEAR(shown[i], expected[i], 0.006);
  browser_->click(heading);
  shown = js(column).get<std::vector<double>>();
  for (std::size_t i = 0; i < shown.size(); ++i) EXPECT_NEAR(shown[i], expected[expected.size() - 1 - i], 0.006);
  type("filter", "snapkv ratio>=0.5");
  const auto n = std::count_if(rows.begin(), rows.end(), [](const RunRow& it) {
    return (it.press + it.dataset).find("snapkv") != std::string::npos && it.compression_ratio >= 0.5;
  });
  EXPECT_EQ(js("document.querySelectorAll('#table tbody tr:not(.spacer)').length"), n);
  EXPECT_EQ(js("byId('count').textContent"), std::to_string(n) + " of " + std::to_string(rows.size()) + " runs");
  type("filter", "nothing_of_that_name");
  EXPECT_EQ(js("document.querySelectorAll('#table tbody tr:not(.spacer)').length"), 0);
  expect_clean();
}

TEST_F(ReportPage, BothThemesAndAPhone) {
  open(some_rows());
  const std::string page = "getComputedStyle(document.body).backgroundColor";
  browser_->prefer("light");
  browser_->settle();
  const std::string light = js(page).get<std::string>();
  screenshot("light.png");
  browser_->prefer("dark");
  browser_->settle();
  const std::string dark = js(page).get<std::string>();
  screenshot("dark.png");
  EXPECT_NE(light, dark);
  browser_->click("byId('theme')");
  EXPECT_EQ(js(page).get<std::string>(), light) << "the switch overrules the system";
  expect_clean();
  open(some_rows(), 390, 844, true);
  EXPECT_LE(js("document.documentElement.scrollWidth").get<int>(), 390) << "the page must not scroll sideways";
  screenshot("phone.png");
  expect_clean();
}

TEST_F(ReportPage, OnPaperEverythingIsDrawnInLight) {
  std::vector<RunRow> rows;
  for (int i = 0; i < 12; ++i) {
    for (const double ratio : {0.25, 0.5}) rows.push_back(run("snapkv", "data" + std::to_string(i), ratio, 0.1));
  }
  open(rows, 600, 500);
  js("theme.choice = 'dark', showTheme()");
  browser_->settle();
  const std::string drawn =
      "[...document.querySelectorAll('#panels canvas')].filter(it => it.plot.hits.length > 0).length";
  const auto panels = js("document.querySelectorAll('#panels canvas').length");
  EXPECT_LT(js(drawn), panels);
  js("dispatchEvent(new Event('beforeprint'))");
  EXPECT_EQ(js(drawn), panels);
  EXPECT_EQ(js("document.documentElement.dataset.theme"), "light");
  js("dispatchEvent(new Event('afterprint'))");
  EXPECT_EQ(js("document.documentElement.dataset.theme"), "dark");
  expect_clean();
}

TEST_F(ReportPage, ShowsMemoryAlongARun) {
  std::vector<RunRow> rows = some_rows();
  open(rows);
  EXPECT_EQ(js("byId('timelines').hidden"), true) << "without a timeline there is no such part";
  Timeline timeline;
  timeline.append(Phase::prefill, 0, 0, 0, 60 << 20);
  timeline.append(Phase::prefill, 0.25, 128, 6 << 20, 66 << 20);
  timeline.append(Phase::compress, 0.5, 128, 3 << 20, 63 << 20);
  timeline.append(Phase::score, 1.5, 256, 9 << 20, 69 << 20);
  rows[2].timeline = memory_points(timeline);
  rows[13].timeline = rows[2].timeline;  // the run of hostile names
  for (MemoryPoint& it : rows[13].timeline) it.cache *= 2;
  open(rows);
  EXPECT_EQ(js("byId('timelines').hidden"), false);
  EXPECT_EQ(js("[...byId('timeline-run').options].map(it => it.text).join('; ')").get<std::string>(),
            run_name(rows[2]) + "; " + run_name(rows[13]));
  EXPECT_EQ(js("byId('timeline-legend').innerText.replace(/\\s+/g, ' ').trim()"), "prefill compress score");
  // Each point of both plots, along both axes and of both runs, tells its numbers where the pointer is on it.
  const std::string plot = "document.querySelectorAll('#timeline-panels canvas')";
  for (const char* run : {"0", "1"}) {
    choose("timeline-run", run);
    for (const char* along : {"tokens", "seconds"}) {
      choose("timeline-x", along);
      for (int p = 0; p < 2; ++p) {
        const std::string canvas = plot + "[" + std::to_string(p) + "]";
        js(canvas + ".scrollIntoView({block: 'center', behavior: 'instant'})");
        browser_->settle();
        const auto hits = js(
            canvas + ".plot.hits.map(it => ({px: it.px, py: it.py, x: it.point.x, y: it.point.y, at: it.point.at}))");
        const auto box = js("(() => { const b = " + canvas + ".getBoundingClientRect(); return [b.x, b.y]; })()");
        ASSERT_EQ(hits.size(), 4u);
        const std::vector<MemoryPoint>& points = rows[run[0] == '0' ? 2 : 13].timeline;
        for (const auto& hit : hits) {
          const MemoryPoint& point = points.at(hit["at"].get<std::size_t>());
          EXPECT_EQ(hit["x"].get<double>(),
                    along == std::string("tokens") ? static_cast<double>(point.tokens) : point.seconds);
          EXPECT_NEAR(hit["y"].get<double>(), static_cast<double>(p == 0 ? point.cache : point.resident) / (1 << 20),
                      1e-9);
          browser_->move_to(box[0].get<double>() + hit["px"].get<double>(),
                            box[1].get<double>() + hit["py"].get<double>());
          const std::string said = js("byId('tooltip').hidden ? '' : byId('tooltip').innerText").get<std::string>();
          EXPECT_THAT(said, HasSubstr(std::string(to_string(point.phase))));
          EXPECT_THAT(said, testing::ContainsRegex("tokens\\s+" + std::to_string(point.tokens) + "\\s"));
          const double mib = static_cast<double>(point.cache) / (1 << 20);
          EXPECT_THAT(said, HasSubstr(js("formatted(" + std::to_string(mib) + ")").get<std::string>() + " MiB"));
        }
      }
    }
  }
  // The bands: a quarter of a second each of prefill and compress, a second of score.
  const auto bands = js(plot + "[0].plot.spec.bands.map(it => [it.name, it.from, it.to])");
  EXPECT_EQ(bands, Browser::Json::parse(R"([["prefill", 0, 0.25], ["compress", 0.25, 0.5], ["score", 0.5, 1.5]])"));
  browser_->prefer("dark");
  browser_->settle();
  screenshot("timeline_dark.png");
  expect_clean();
}

// Times are printed, not tested: machines are shared. What keeps them short is tested: only what is in sight is drawn.
TEST_F(ReportPage, OfTenThousandRunsWhatIsInSightIsDrawn) {
  std::vector<RunRow> rows;
  for (int d = 0; d < 10; ++d) {
    for (int p = 0; p < 40; ++p) {
      for (int r = 0; r < 25; ++r) {
        rows.push_back(run("snapkv(window_size=" + std::to_string(p) + ")", "data_" + std::to_string(d), 0.04 * r,
                           0.001 * (p + 1) * (r + 1)));
      }
    }
  }
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const std::clock_t begun = std::clock();  // of this process: what else a machine does is no matter
  const std::string page = html_report(rows, {});
  const double build_sec = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  const auto start = Clock::now();
  open(rows);
  const double open_sec = seconds_since(start);
  EXPECT_LT(js("document.querySelectorAll('#table tr').length").get<int>(), 100)
      << "only rows in sight are in the page";
  const double hover_ms =
      js("(() => { const p = " + kPlot +
         "; const t = performance.now(); for (let i = 0; i < 1000; ++i) p.nearest(i % 400, i % 300); "
         "return (performance.now() - t) / 1000; })()")
          .get<double>();
  const double sort_ms =
      js("(() => { const t = performance.now(); document.querySelectorAll('#table th button')[2].click(); return "
         "performance.now() - t; })()")
          .get<double>();
  js("byId('panels').scrollIntoView({behavior: 'instant'})");
  browser_->settle();
  ASSERT_GT(js(kPlot + ".hits.length").get<int>(), 900) << "curves in sight are drawn";
  const double draw_ms =
      js("(() => { const t = performance.now(); redraw(); return performance.now() - t; })()").get<double>();
  js("byId('table').scrollTop = 100000");
  browser_->settle();
  EXPECT_GT(js("table.first").get<int>(), 1000);
  std::printf(
      "10,000 runs: %.1f MB, built in %.2f s, opened in %.2f s, hover %.4f ms, sorting %.0f ms, curves %.0f ms\n",
      static_cast<double>(page.size()) / 1e6, build_sec, open_sec, hover_ms, sort_ms, draw_ms);
  expect_clean();
}

}  // namespace
}  // namespace kvpress
