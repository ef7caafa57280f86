#include "report/pictures/charts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <set>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

constexpr double kMebi = 1 << 20;
/// Values that span more than this are drawn on a logarithmic axis.
constexpr double kLogCostsFrom = 8;
constexpr double kLogQualityFrom = 30;

/// The full cache does not count: its added loss is 0, which a logarithmic axis does not have.
bool wants_log(const std::vector<Panel>& panels, const Measure& measure, double from) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const Panel& panel : panels) {
    for (const Series& series : panel.series) {
      if (series.press == "no_press") continue;
      for (const RunRow& run : series.runs) {
        const auto value = value_of(run, measure);
        if (!value) continue;
        low = std::min(low, *value);
        high = std::max(high, *value);
      }
    }
  }
  return low > 0 && high > from * low;
}

MeasureAxis axis_of(const Measure& measure) {
  MeasureAxis axis;
  axis.measure = measure;
  axis.title = measure.unit.empty() ? measure.label : fmt::format("{} ({})", measure.label, measure.unit);
  // Times do not follow the ratio: a line would only join their noise.
  axis.joined = measure.key == "evicted_share" || measure.key == "cache_bytes";
  axis.zero_line = measure.key == "delta_nll";
  return axis;
}

std::vector<LegendEntry> legend_of(const std::vector<RunRow>& rows) {
  std::vector<std::string> presses = presses_of(rows);
  std::stable_partition(presses.begin(), presses.end(), [](const std::string& it) { return it == "no_press"; });
  const auto styles = press_styles(presses);
  std::vector<LegendEntry> legend;
  for (const std::string& press : presses) {
    legend.push_back({press, press == "no_press" ? "no_press (full cache)" : press, styles.at(press)});
  }
  return legend;
}

}  // namespace

const MeasureAxis& TradeoffChart::quality_axis(const Measure& measure) const {
  const auto at =
      std::find_if(quality.begin(), quality.end(), [&](const auto& it) { return it.measure.key == measure.key; });
  if (at == quality.end()) fail("tradeoff: '{}' is not a measure of quality of these runs", measure.key);
  return *at;
}

TradeoffChart tradeoff_chart(const std::vector<RunRow>& rows) {
  TradeoffChart chart;
  chart.panels = panels_of(rows);
  chart.legend = legend_of(rows);
  for (const Measure& it : quality_measures(rows)) {
    chart.quality.push_back(axis_of(it));
    chart.quality.back().log = wants_log(chart.panels, it, kLogQualityFrom);
  }
  for (const Measure& it : cost_measures(rows)) {
    chart.costs.push_back(axis_of(it));
    chart.costs.back().log = it.key != "evicted_share" && wants_log(chart.panels, it, kLogCostsFrom);
  }
  return chart;
}

std::string FrontLook::label() const { return fmt::format("{} ({})", name, meaning); }

std::string MemoryCurve::axis() const { return fmt::format("{} (MiB)", title); }

double MemoryCurve::value(const MemoryPoint& it) const { return static_cast<double>(it.*bytes) / kMebi; }

std::vector<PhaseBand> phase_bands(const std::vector<MemoryPoint>& points) {
  std::vector<PhaseBand> bands;
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (!bands.empty() && bands.back().phase == points[i].phase) {
      bands.back().last = i;
    } else {
      bands.push_back({points[i].phase, i - 1, i});
    }
  }
  return bands;
}

std::vector<Phase> phases_of(const std::vector<std::vector<PhaseBand>>& bands) {
  std::array<bool, kPhases> seen = {};
  for (const auto& run : bands) {
    for (const PhaseBand& it : run) seen[static_cast<std::size_t>(it.phase)] = true;
  }
  std::vector<Phase> phases;
  for (std::size_t i = 0; i < kPhases; ++i) {
    if (seen[i]) phases.push_back(static_cast<Phase>(i));
  }
  return phases;
}

namespace {

/// The widths of windows, ascending, each once.
std::set<std::int64_t> widths_of(const KeptTokens& kept) {
  std::set<std::int64_t> widths(kept.windows.begin(), kept.windows.end());
  widths.erase(0);
  return widths;
}

}  // namespace

std::string layer_axis(const KeptTokens& kept) {
  return fmt::format("layer{}{}", kept.n_kv_heads > 1 ? fmt::format(", {} heads each", kept.n_kv_heads) : "",
                     widths_of(kept).empty() ? "" : ", w: window");
}

std::string layer_name(const KeptTokens& kept, std::int64_t layer) {
  return fmt::format("{}{}", layer, kept.window(layer) > 0 ? " w" : "");
}

std::string windows_text(const KeptTokens& kept) {
  const std::set<std::int64_t> widths = widths_of(kept);
  return widths.empty() ? "" : fmt::format("layers with windows of {} tokens", fmt::join(widths, " or "));
}

}  // namespace kvpress
