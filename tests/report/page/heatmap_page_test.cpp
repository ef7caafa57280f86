// The heat map of kept tokens in a real browser: what it says of a cell, compared with the tokens it was made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "base/file.h"
#include "browser.h"
#include "kept_tokens_example.h"
#include "report/page/html_report.h"
#include "report/page/kept_tokens_page.h"

namespace kvpress {
namespace {

using test::Browser;
using test::example_run;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::IsEmpty;

/// A text longer than a page is wide, under a press that is noise.
KeptTokensRun long_run(std::int32_t n_tokens, std::int64_t n_layers, std::int64_t n_kv_heads) {
  KeptTokensRun run;
  run.press = "random";
  run.compression_ratio = 0.7;
  run.model = "demo";
  run.dataset = "pg19";
  run.kept = {n_tokens, n_layers, n_kv_heads, {}};
  std::mt19937 random(1);
  for (std::int32_t t = 0; t < n_tokens; ++t) run.tokens.push_back(" w" + std::to_string(t));
  for (std::int64_t row = 0; row < n_layers * n_kv_heads; ++row) {
    auto& it = run.kept.heads.emplace_back();
    for (std::int32_t t = 0; t < n_tokens; ++t) {
      if (random() % 10 < 3) it.push_back(t);
    }
  }
  return run;
}

class HeatmapPage : public testing::Test {
 protected:
  void SetUp() override {
    if (test::find_browser().empty()) GTEST_SKIP() << "no Chromium here: apt-get install chromium";
    browser_ = std::make_unique<Browser>();
  }
  void open(const std::vector<KeptTokensRun>& runs, int width = 1280, int height = 900, bool phone = false) {
    const auto page = folder_.path() / "heatmap.html";
    write_file(page, kept_tokens_page(runs, "Tokens that presses keep"));
    browser_->open(page, width, height, phone);
  }
  Browser::Json js(const std::string& expression) { return browser_->evaluate(expression); }
  void set(const std::string& id, const std::string& value, const char* event) {
    js("(() => { const it = byId('" + id + "'); it.value = '" + value + "'; it.dispatchEvent(new Event('" + event +
       "', {bubbles: true})); })()");
    browser_->settle();
  }
  /// Points at the middle of a cell, given where the map draws it; what is said then.
  std::string said_at(double token, std::int64_t row) {
    const auto at = js("(() => { const b = heatmap.canvas.getBoundingClientRect(); return [b.x + heatmap.left + " +
                       std::to_string(token) + " * heatmap.zoom - heatmap.scroll.scrollLeft, b.y + heatmap.top + " +
                       std::to_string(static_cast<double>(row) + 0.5) + " * heatmap.rowHeight]; })()");
    browser_->move_to(at[0], at[1]);
    return js("byId('tooltip').hidden ? '' : byId('tooltip').innerText.replace(/\\s+/g, ' ')").get<std::string>();
  }
  void screenshot(const std::string& name) {
    if (const char* folder = std::getenv("KVPRESS_SCREENSHOTS")) {
      browser_->screenshot(std::filesystem::path(folder) / name);
    }
  }
  void expect_clean() {
    EXPECT_THAT(browser_->complaints, IsEmpty());
    for (const std::string& it : browser_->requests)
      EXPECT_TRUE(it.starts_with("file://") || it.starts_with("data:")) << it;
    EXPECT_EQ(js("document.querySelectorAll('#heatmaps b').length"), 0) << "tokens are text, never markup";
  }
  static bool holds(const KeptTokensRun& run, std::int64_t row, std::int32_t token) {
    const auto& it = run.kept.heads[static_cast<std::size_t>(row)];
    return std::find(it.begin(), it.end(), token) != it.end();
  }

  TemporaryFolder folder_;
  std::unique_ptr<Browser> browser_;
};

TEST_F(HeatmapPage, EachCellSaysItsWordPlaceAndHeads) {
  const KeptTokensRun run = example_run();
  open({run});
  const auto counts = run.kept.heads_by_token();
  for (std::int64_t row = 0; row < 4; ++row) {
    for (std::int32_t t = 0; t < 10; ++t) {
      const std::string said = said_at(t + 0.5, row);
      const bool kept = holds(run, row, t);
      std::string word = run.tokens[static_cast<std::size_t>(t)];
      if (word == "\n") word = "\u21b5";
      EXPECT_THAT(said, HasSubstr(word.front() == ' ' ? word.substr(1) : word));
      EXPECT_THAT(said, HasSubstr("layer " + std::to_string(row / 2) + " head " + std::to_string(row % 2) +
                                  " position " + std::to_string(t) + " in this head " + (kept ? "kept" : "evicted") +
                                  " kept by " + std::to_string(counts[static_cast<std::size_t>(t)]) + " of 4 heads"));
      // And the cell is as dark as that.
      const auto same =
          js("(() => { const r = window.devicePixelRatio, c = "
             "heatmap.canvas.getContext('2d').getImageData((heatmap.left + " +
             std::to_string(t + 0.4) + " * heatmap.zoom) * r, (heatmap.top + " + std::to_string(row) +
             " * heatmap.rowHeight + heatmap.rowHeight / 2) * r, 1, 1).data; return `rgb(${c[0]} ${c[1]} ${c[2]})` === "
             "heatColors()(" +
             (kept ? "1" : "0") + "); })()");
      EXPECT_EQ(same, true) << row << " " << t;
    }
  }
  EXPECT_THAT(js("byId('heatmap-facts').innerText").get<std::string>(), HasSubstr("2 to 6 tokens"));
  EXPECT_THAT(js("byId('heatmap-text').innerText").get<std::string>(), HasSubstr("</script> the<b>cat</b>"));
  expect_clean();
}

TEST_F(HeatmapPage, ALongTextIsSummedUpUntilZoomedIn) {
  const KeptTokensRun run = long_run(5000, 6, 3);
  open({example_run(), run});
  set("heatmap-run", "1", "change");
  const auto counts = run.kept.heads_by_token();
  // The whole text: columns of several tokens.
  const auto columns = js("columnsInSight().map(it => [it.from, it.to])");
  ASSERT_GT(columns.size(), 500u);
  EXPECT_EQ(columns.back()[1], 5000);
  for (const std::size_t c : {std::size_t{0}, columns.size() / 2, columns.size() - 1}) {
    const auto from = columns[c][0].get<std::int32_t>();
    const auto to = columns[c][1].get<std::int32_t>();
    ASSERT_GT(to - from, 1);
    std::int32_t kept = 0;
    double sum = 0;
    for (std::int32_t t = from; t < to; ++t) {
      kept += holds(run, 7, t) ? 1 : 0;
      sum += counts[static_cast<std::size_t>(t)];
    }
    const std::string said = said_at(from + 0.5, 7);
    EXPECT_THAT(said, HasSubstr(std::to_string(to - from) + " tokens layer 2 head 1"));
    EXPECT_THAT(said, HasSubstr("kept in this head " + std::to_string(kept) + " of " + std::to_string(to - from)));
    char share[32];
    std::snprintf(share, sizeof share, "%.1f %%", 100 * sum / (to - from) / 18);
    EXPECT_THAT(said, HasSubstr(share));
  }
  // Zoomed in and scrolled: token by token.
  set("heatmap-zoom", "100", "input");
  js("heatmap.scroll.scrollLeft = 3000 * heatmap.zoom");
  browser_->settle();
  for (const std::int32_t t : {3005, 3020}) {
    const std::string said = said_at(t + 0.5, 17);
    EXPECT_THAT(said, HasSubstr("w" + std::to_string(t)));
    EXPECT_THAT(said, HasSubstr(std::string("layer 5 head 2 position 3 0") + (t == 3005 ? "05" : "20") +
                                " in this head " + (holds(run, 17, t) ? "kept" : "evicted")));
  }
  EXPECT_THAT(js("byId('heatmap-text').innerText").get<std::string>(), HasSubstr("w3005 w3006"));
  EXPECT_EQ(js("byId('heatmap-cell').querySelector('mark').textContent"), " w3020");
  const double draw_ms = js("(() => { setZoom(0); const t = performance.now(); heatmap.view = ''; drawHeatmap(); "
                            "return performance.now() - t; })()")
                             .get<double>();
  const double hover_ms = js("(() => { const t = performance.now(); for (let i = 0; i < 50; ++i) hoverCell({from: i, "
                             "to: i + 1, row: 3}); return (performance.now() - t) / 50; })()")
                              .get<double>();
  std::printf("5,000 tokens x 18 heads: drawn in %.0f ms, a hover in %.2f ms\n", draw_ms, hover_ms);
  expect_clean();
}

TEST_F(HeatmapPage, WordsAndKeysFindCells) {
  const KeptTokensRun run = long_run(2000, 4, 2);
  open({run});
  browser_->click("document.querySelector('#heatmap-text span[data-token=\"41\"]')");
  EXPECT_EQ(js("heatmap.cell.from"), 41);
  EXPECT_GE(js("heatmap.zoom").get<double>(), 6) << "zoomed in until it is a column of its own";
  const auto key = [&](const char* name) {
    js(std::string("heatmap.scroll.dispatchEvent(new KeyboardEvent('keydown', {key: '") + name + "', bubbles: true}))");
    browser_->settle();
  };
  key("ArrowUp");  // from the strip to the last row
  EXPECT_EQ(js("heatmap.cell.row"), 7);
  key("ArrowRight");
  key("ArrowUp");
  EXPECT_EQ(js("[heatmap.cell.from, heatmap.cell.row]"), Browser::Json::array({42, 6}));
  EXPECT_THAT(js("byId('tooltip').innerText").get<std::string>(), HasSubstr("w42"));
  key("Escape");
  EXPECT_EQ(js("byId('tooltip').hidden"), true);
  expect_clean();
}

TEST_F(HeatmapPage, BothThemesAndAPhone) {
  const std::vector<KeptTokensRun> runs = {long_run(600, 6, 3), example_run()};
  open(runs);
  browser_->prefer("light");
  browser_->settle();
  const std::string light = js("heatColors()(1)").get<std::string>();
  screenshot("heatmap_light.png");
  browser_->prefer("dark");
  browser_->settle();
  said_at(100.5, 3);
  screenshot("heatmap_dark.png");
  EXPECT_NE(js("heatColors()(1)").get<std::string>(), light);
  open(runs, 390, 844, true);
  EXPECT_LE(js("document.documentElement.scrollWidth").get<int>(), 390) << "the page must not scroll sideways";
  screenshot("heatmap_phone.png");
  expect_clean();
}

TEST_F(HeatmapPage, IsAPartOfTheReport) {
  RunRow row;
  row.press = "snapkv";
  row.dataset = "wikitext";
  row.model = "demo";
  row.protocol = "chunked";
  row.compression_ratio = 0.5;
  row.numbers = {{"kl_full", 0.1}, {"perplexity", 40}, {"cache_bytes", 1e6}, {"total_runtime_sec", 1}};
  const auto page = folder_.path() / "report.html";
  write_html_report({row}, {}, page);
  browser_->open(page, 1280, 900);
  EXPECT_EQ(js("byId('heatmaps').hidden"), true) << "without one there is no such part";
  ReportExtras extras;
  extras.kept_tokens = {example_run()};
  write_html_report({row}, extras, page);
  browser_->open(page, 1280, 900);
  EXPECT_EQ(js("byId('heatmaps').hidden"), false);
  js("heatmap.scroll.scrollIntoView({block: 'center', behavior: 'instant'})");
  browser_->settle();
  EXPECT_THAT(said_at(4.5, 1), HasSubstr("<0xE2><0x82>"));
  EXPECT_EQ(js("byId('heatmap-run').options[0].text"), "snapkv at 0.50, wikitext, demo, chunks of 4");
  expect_clean();
}

}  // namespace
}  // namespace kvpress
