#include "report/page/html_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/counted.h"
#include "base/file.h"
#include "kvpress/base/version.h"
#include "kvpress/eval/protocol.h"
#include "report/documents/findings.h"
#include "report/page/charts_json.h"
#include "report/page/html.h"
#include "report/page/kept_tokens_page.h"
#include "report/page/page_parts.h"
#include "report/pictures/timeline_picture.h"

namespace kvpress {
namespace {

/// Of a grid of thousands of runs the words tell the first panels.
constexpr std::size_t kMostFindings = 12;
/// Values of a setting told one by one.
constexpr std::size_t kMostValues = 6;
constexpr std::size_t kMostFreeMeasures = 60;

/// A number as JSON, to seven digits: what a curve or table can show.
std::string number_text(double value) { return std::isfinite(value) ? fmt::format("{:.7g}", value) : "null"; }

std::string json_text(const std::string& text) { return Json(valid_utf8(text)).dump(); }

/// Strings by number, each stored once.
class NameTable {
 public:
  std::size_t index(const std::string& name) {
    const auto [at, is_new] = indices_.emplace(name, names_.size());
    if (is_new) names_.push_back(name);
    return at->second;
  }
  std::string json() const {
    std::vector<std::string> texts;
    for (const std::string& it : names_) texts.push_back(json_text(it));
    return fmt::format("[{}]", fmt::join(texts, ","));
  }

 private:
  std::map<std::string, std::size_t> indices_;
  std::vector<std::string> names_;
};

std::string column(const std::vector<const RunRow*>& runs, const auto& value) {
  std::string text = "[";
  for (const RunRow* it : runs) {
    if (text.size() > 1) text += ',';
    text += value(*it);
  }
  return text + "]";
}

std::string runs_json(const std::vector<const RunRow*>& runs, const std::vector<Measure>& measures, NameTable& names) {
  std::string json = "{";
  const auto name_column = [&](const char* key, std::string RunRow::*member) {
    json += fmt::format("\"{}\":{},", key,
                        column(runs, [&](const RunRow& it) { return std::to_string(names.index(it.*member)); }));
  };
  name_column("press", &RunRow::press);
  name_column("dataset", &RunRow::dataset);
  name_column("model", &RunRow::model);
  name_column("protocol", &RunRow::protocol);
  json += fmt::format("\"folder\":{},", column(runs, [](const RunRow& it) { return json_text(it.folder); }));
  json += fmt::format("\"ratio\":{},\"evicted\":{},\"numbers\":{{",
                      column(runs, [](const RunRow& it) { return number_text(it.compression_ratio); }),
                      column(runs, [](const RunRow& it) { return number_text(it.evicted()); }));
  std::string intervals;
  bool first = true;
  for (const Measure& measure : measures) {
    if (measure.key == "evicted_share") continue;
    json += fmt::format("{}{}:{}", first ? "" : ",", json_text(measure.key), column(runs, [&](const RunRow& it) {
                          const auto value = it.number(measure.key);
                          return value ? number_text(*value) : std::string("null");
                        }));
    first = false;
    if (std::none_of(runs.begin(), runs.end(), [&](const RunRow* it) { return it->interval(measure.key).has_value(); }))
      continue;
    const auto end_of = [&](double Interval::*end) {
      return column(runs, [&](const RunRow& it) {
        const auto interval = it.interval(measure.key);
        return interval ? number_text((*interval).*end) : std::string("null");
      });
    };
    intervals += fmt::format("{}{}:{{\"low\":{},\"high\":{}}}", intervals.empty() ? "" : ",", json_text(measure.key),
                             end_of(&Interval::low), end_of(&Interval::high));
  }
  return json + "},\"intervals\":{" + intervals + "}}";
}

Json timeline_json(const RunRow& row) {
  Json timeline = {{"name", valid_utf8(run_name(row))}, {"bands", Json::array()}};
  for (const MemoryPoint& it : row.timeline) {
    timeline["phase"].push_back(static_cast<std::size_t>(it.phase));
    timeline["seconds"].push_back(it.seconds);
    timeline["tokens"].push_back(it.tokens);
    for (const MemoryCurve& curve : kMemoryCurves) timeline[std::string(curve.key)].push_back(curve.value(it));
  }
  for (const PhaseBand& it : phase_bands(row.timeline)) {
    timeline["bands"].push_back(
        {{"phase", static_cast<std::size_t>(it.phase)}, {"first", it.first}, {"last", it.last}});
  }
  return timeline;
}

/// {"runs": [{"name", "bands", "phase", "seconds", "tokens", "cache", "resident"}], ...}; phases by their place in
/// "phases".
Json timelines_json(const std::vector<RunRow>& rows) {
  Json json = memory_json();
  json["runs"] = Json::array();
  for (const RunRow& row : rows) {
    if (!row.timeline.empty()) json["runs"].push_back(timeline_json(row));
  }
  return json;
}

std::string data_json(const std::vector<RunRow>& rows, const TradeoffChart& chart, const ReportExtras& extras) {
  std::vector<MeasureAxis> quality = chart.quality;
  if (quality.size() > kMostFreeMeasures) quality.resize(kMostFreeMeasures);
  std::vector<Measure> measures;
  for (const MeasureAxis& it : quality) measures.push_back(it.measure);
  for (const MeasureAxis& it : chart.costs) measures.push_back(it.measure);

  // The rows, then the runs of curves: those are medians where a run was repeated.
  std::vector<const RunRow*> runs;
  for (const RunRow& row : rows) runs.push_back(&row);
  std::vector<std::string> panel_texts;
  for (const Panel& panel : chart.panels) {
    std::vector<std::string> lines;
    for (const Series& series : panel.series) {
      std::vector<std::size_t> indices;
      for (const RunRow& run : series.runs) {
        indices.push_back(runs.size());
        runs.push_back(&run);
      }
      lines.push_back(fmt::format("{{\"press\":{},\"runs\":[{}]}}", json_text(series.press), fmt::join(indices, ",")));
    }
    panel_texts.push_back(
        fmt::format("{{\"title\":{},\"lines\":[{}]}}", json_text(panel.title()), fmt::join(lines, ",")));
  }
  NameTable names;
  const std::string runs_text = runs_json(runs, measures, names);
  return fmt::format(
      "{{\"n_runs\":{},\"runs\":{},\"names\":{},\"panels\":[{}],\"presses\":{},\"front\":{},\"quality\":{},\"costs\":{}"
      ","
      "\"memory\":{},\"heatmaps\":{}}}",
      rows.size(), runs_text, names.json(), fmt::join(panel_texts, ","), legend_json(chart).dump(), front_json().dump(),
      axes_json(quality).dump(), axes_json(chart.costs).dump(), timelines_json(rows).dump(),
      kept_tokens_json(extras.kept_tokens));
}

std::string answer_html(const std::vector<Panel>& panels) {
  const std::vector<Panel> told(panels.begin(),
                                panels.begin() + static_cast<std::ptrdiff_t>(std::min(panels.size(), kMostFindings)));
  std::string html;
  for (const Finding& finding : findings_of(told)) {
    html += fmt::format("  <div class=\"finding\">\n    <h3>{}</h3>\n    <ul>\n", html_text(valid_utf8(finding.title)));
    bool lead = true;
    for (const std::string& it : finding.sentences) {
      html += fmt::format("      <li{}>{}</li>\n", lead ? " class=\"lead\"" : "", html_text(valid_utf8(it)));
      lead = false;
    }
    html += "    </ul>\n  </div>\n";
  }
  if (panels.size() > told.size()) {
    html += fmt::format("  <p class=\"more\">Below, as curves and in the table: {} more.</p>\n",
                        counted(panels.size() - told.size(), "panel"));
  }
  html += fmt::format(
      "  <p class=\"hint\">Near the full cache means: a perplexity at most {0:.0f} % above the full cache's, including "
      "the upper end of the 95 % interval, or a score at most {0:.0f} % below it.</p>\n",
      100 * kNear);
  return html;
}

/// "a, b and 7 more" of a setting's values.
std::string values_text(const std::set<std::string>& values) {
  std::vector<std::string> told;
  for (const std::string& it : values) {
    if (told.size() == kMostValues) break;
    told.push_back(it);
  }
  std::string text = fmt::format("{}", fmt::join(told, ", "));
  if (values.size() > told.size()) text += fmt::format(" and {} more", values.size() - told.size());
  return text;
}

std::string how_html(const std::vector<RunRow>& rows, const ReportExtras& extras) {
  std::string html;
  if (!extras.command.empty()) {
    html += fmt::format("  <pre class=\"mono\">{}</pre>\n", html_text(valid_utf8(extras.command)));
  }
  html += "  <dl class=\"facts\">\n";
  const auto fact = [&](const std::string& name, const std::string& value) {
    html += fmt::format("    <dt>{}</dt><dd>{}</dd>\n", html_text(valid_utf8(name)), html_text(valid_utf8(value)));
  };
  for (const auto& [name, value] : extras.facts) fact(name, value);
  // What runs report of themselves; a press and its ratio stand in the table.
  std::map<std::string, std::set<std::string>> settings;
  for (const RunRow& row : rows) {
    for (const auto& [name, value] : row.settings) settings[name].insert(value);
  }
  const std::set<std::string> elsewhere = {"press",      "press_name",         "compression_ratio",
                                           "caveat",     "press_init_command", "load_sec",
                                           "output_dir", "tokenize_sec",       "log_level"};
  for (const auto& [name, values] : settings) {
    if (elsewhere.count(name) == 0) fact(name, values_text(values));
  }
  fact("report by", "kvpress " + std::string(version()));
  return html + "  </dl>\n";
}

std::string subtitle(const std::vector<RunRow>& rows, const std::vector<Panel>& panels) {
  std::set<std::string> models;
  std::set<std::string> datasets;
  std::set<std::string> presses;
  for (const RunRow& row : rows) {
    models.insert(row.model);
    datasets.insert(row.dataset);
    if (!row.is_full_cache()) presses.insert(row.press);
  }
  return fmt::format("{}; {}; {} of {} in {}", values_text(models), values_text(datasets), counted(rows.size(), "run"),
                     counted(presses.size(), "press"), counted(panels.size(), "panel"));
}

std::string caveat_html(const std::vector<RunRow>& rows) {
  const bool blind = std::any_of(rows.begin(), rows.end(), [](const RunRow& row) {
    return row.protocol == to_string(Protocol::window) && !row.is_full_cache();
  });
  if (!blind) return "";
  return fmt::format("<p class=\"caveat\" id=\"caveat\"><b>Warning.</b> Some runs used protocol window: {}.</p>",
                     html_text(kWindowCaveat));
}

}  // namespace

std::string html_report(const std::vector<RunRow>& rows, const ReportExtras& extras) {
  const TradeoffChart chart = tradeoff_chart(rows);
  std::string script = "'use strict';\n";
  for (const char* part : {"base.js", "plot.js", "curves.js", "table.js", "timeline.js", "heatmap.js", "start.js"}) {
    script += page_part(part);
  }
  return filled(page_part("report.html"), {{"TITLE", html_text(valid_utf8(extras.title))},
                                           {"SUBTITLE", html_text(valid_utf8(subtitle(rows, chart.panels)))},
                                           {"STYLE", std::string(page_part("report.css"))},
                                           {"CAVEAT", caveat_html(rows)},
                                           {"ANSWER", answer_html(chart.panels)},
                                           {"HOW", how_html(rows, extras)},
                                           {"FRONT", std::string(kFront.name)},
                                           {"HEATMAPS", std::string(page_part("heatmap_section.html"))},
                                           {"DATA", json_for_script(data_json(rows, chart, extras))},
                                           {"SCRIPT", script}});
}

void write_html_report(const std::vector<RunRow>& rows, const ReportExtras& extras, const std::filesystem::path& path) {
  write_file(path, html_report(rows, extras));
}

}  // namespace kvpress
