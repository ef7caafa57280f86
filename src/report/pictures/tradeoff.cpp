#include "report/pictures/tradeoff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "report/pictures/charts.h"

namespace kvpress {
namespace {

constexpr std::size_t kMostPanels = 12;
constexpr int kPlotWidth = 520;
constexpr int kPlotHeight = 400;
constexpr int kTitleHeight = 34;
constexpr int kKeyRowHeight = 26;
constexpr int kKeyTop = 16;
/// Costs that a picture shows, of those the rows have.
constexpr const char* kCosts[] = {"evicted_share", "cache_bytes", "total_runtime_sec"};
struct PlotPoint {
  double x, y, low, high;
  bool on_front = false;
};

/// A press's points of one plot.
struct PlotLine {
  std::string press;
  std::vector<PlotPoint> points;
};

std::vector<PlotLine> lines_of(const Panel& panel, const Measure& quality, const Measure& cost) {
  std::vector<PlotLine> lines;
  std::vector<Point> all;
  for (const Series& series : panel.series) {
    PlotLine line{series.press, {}};
    for (const RunRow& run : series.runs) {
      const auto x = value_of(run, cost);
      const auto y = value_of(run, quality);
      if (!x || !y) continue;
      const Interval it = interval_of(run, quality).value_or(Interval{*y, *y});
      line.points.push_back({*x, *y, it.low, it.high});
      all.push_back({cost.lower_is_better ? *x : -*x, quality.lower_is_better ? *y : -*y});
    }
    if (!line.points.empty()) lines.push_back(std::move(line));
  }
  const std::vector<bool> front = pareto_front(all);
  std::size_t i = 0;
  for (PlotLine& line : lines) {
    for (PlotPoint& it : line.points) it.on_front = front[i++];
  }
  return lines;
}

/// What an axis shows, and how.
struct AxisRange {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool log = false;

  void add(double value) {
    if (log && value <= 0) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  /// Room around the outermost values.
  void pad(double share) {
    if (log) {
      const double room = std::pow(high / low, share) * 1.03;
      low /= room;
      high *= room;
      return;
    }
    const double room = high > low ? share * (high - low) : std::max(std::abs(high), 1e-6) * 0.1;
    low -= room;
    high += room;
  }
  /// "set xrange [1:3]", the scale, and the ticks of a logarithmic one: gnuplot labels whole decades only.
  std::string script(char axis) const {
    std::string text = fmt::format("set {}range [{:.6g}:{:.6g}]\n", axis, low, high);
    if (!log) return text + fmt::format("unset logscale {0}\nset {0}tics autofreq\n", axis);
    text += fmt::format("set logscale {0}\nset {0}tics (", axis);
    const bool few = high > 300 * low;
    std::string list;
    for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::log10(high); ++power) {
      for (const int step : {1, 2, 3, 5}) {
        const double at = step * std::pow(10, power);
        const bool wanted = few ? step == 1 || (step == 3 && high < 1e4 * low) : step != 3;
        if (wanted && at >= low && at <= high)
          list += fmt::format("{}'{:.4g}' {:.4g}", list.empty() ? "" : ", ", at, at);
      }
    }
    return text + list + ")\n";
  }
};

/// A logarithmic axis needs a value above 0.
bool any_above_0(const std::vector<PlotLine>& lines, double PlotPoint::*member) {
  return std::any_of(lines.begin(), lines.end(), [&](const PlotLine& line) {
    return std::any_of(line.points.begin(), line.points.end(), [&](const PlotPoint& it) { return it.*member > 0; });
  });
}

/// The data blocks of a plot and the command that draws them. `joined`: with lines from ratio to ratio.
std::string plot_script(const std::vector<PlotLine>& lines, const std::map<std::string, PressStyle>& styles,
                        bool joined, bool log_y, int& n_blocks) {
  std::string data;
  std::string plot;
  std::vector<PlotPoint> front;
  for (const PlotLine& line : lines) {
    const std::string block = fmt::format("$d{}", n_blocks++);
    data += block + " << EOD\n";
    for (const PlotPoint& it : line.points) {
      // On a logarithmic axis an interval ends at the axis.
      const double low = log_y ? std::max(it.low, it.y / 1e3) : it.low;
      data += fmt::format("{:.9g} {:.9g} {:.9g} {:.9g}\n", it.x, it.y, low, it.high);
      if (it.on_front) front.push_back(it);
    }
    data += "EOD\n";
    const std::string style = gnuplot_style(styles.at(line.press));
    plot += fmt::format("{} using 1:2:3:4 with yerrorbars lw 1 {} ps 0 notitle, \\\n     ", block, style);
    plot += fmt::format("{} using 1:2 with {} lw 2 {} ps 1.3 notitle, \\\n     ", block,
                        joined ? "linespoints" : "points", style);
  }
  std::sort(front.begin(), front.end(), [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  const std::string block = fmt::format("$d{}", n_blocks++);
  data += block + " << EOD\n";
  for (const PlotPoint& it : front) data += fmt::format("{:.9g} {:.9g}\n", it.x, it.y);
  data += "EOD\n";
  // Drawn first: under the lines.
  return data + fmt::format("plot {} using 1:2 with points pt 7 ps 3.4 lc rgb '{}' notitle, \\\n     {}", block,
                            kFront.color.light, plot + "NaN notitle\n");
}

/// Names and lines of all presses, in columns below the plots.
std::string key_script(const std::vector<LegendEntry>& legend, int columns, int n_rows, double top) {
  std::string script = fmt::format(
      "reset\nset origin 0,0\nset size 1,{:.6f}\nset lmargin 0\nset rmargin 0\nset tmargin 0\nset bmargin 0\nunset "
      "border\nunset tics\nset xrange [0:1]\nset yrange [0:1]\nset key center center Left reverse maxrows {} maxcols "
      "{} samplen 4 "
      "spacing 1.25 width 2\nplot ",
      top, n_rows, columns);
  for (const LegendEntry& it : legend) {
    script += fmt::format("NaN with linespoints lw 2 {} ps 1.3 title {}, \\\n     ", gnuplot_style(it.style),
                          gnuplot_text(it.label));
  }
  return script + fmt::format("NaN with points pt 7 ps 2.6 lc rgb '{}' title {}\n", kFront.color.light,
                              gnuplot_text(kFront.label()));
}

std::string axes(const std::vector<PlotLine>& lines, const MeasureAxis& quality, const MeasureAxis& cost, bool log_x,
                 bool log_y) {
  AxisRange x;
  AxisRange y;
  x.log = log_x;
  y.log = log_y;
  for (const PlotLine& line : lines) {
    for (const PlotPoint& it : line.points) {
      x.add(it.x);
      for (const double value : {it.y, it.low, it.high}) y.add(value);
    }
  }
  x.pad(0.06);
  y.pad(0.06);
  std::string script =
      fmt::format("set title {}\nset xlabel {}\nset ylabel {}\n",
                  gnuplot_text(fmt::format("{} against {}", quality.measure.label, cost.measure.label)),
                  gnuplot_text(cost.title), gnuplot_text(quality.title));
  script += x.script('x') + y.script('y');
  if (quality.zero_line && !log_y) {
    script += "set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lc rgb '#888888' lw 1\n";
  } else {
    script += "unset arrow 1\n";
  }
  return script;
}

}  // namespace

Drawing tradeoff_drawing(const std::vector<RunRow>& rows) {
  TradeoffChart chart = tradeoff_chart(rows);
  std::vector<Panel>& panels = chart.panels;
  if (panels.empty()) fail("tradeoff: no runs to draw");
  if (panels.size() > kMostPanels) {
    log_info(
        fmt::format("tradeoff: shows the first {} of {} panels; report.html shows all", kMostPanels, panels.size()));
    panels.resize(kMostPanels);
  }
  std::vector<MeasureAxis> costs;
  for (const MeasureAxis& it : chart.costs) {
    if (std::find(std::begin(kCosts), std::end(kCosts), it.measure.key) != std::end(kCosts)) costs.push_back(it);
  }
  std::set<std::string> shown;
  for (const Panel& panel : panels) {
    for (const Series& it : panel.series) shown.insert(it.press);
  }
  std::erase_if(chart.legend, [&](const LegendEntry& it) { return shown.count(it.press) == 0; });
  std::map<std::string, PressStyle> styles;
  for (const LegendEntry& it : chart.legend) styles[it.press] = it.style;

  const int n_columns = static_cast<int>(costs.size());
  const int n_panels = static_cast<int>(panels.size());
  std::size_t widest = kFront.label().size();
  for (const LegendEntry& it : chart.legend) widest = std::max(widest, it.label.size());
  PictureSize size;
  size.width = std::max(760, kPlotWidth * n_columns);
  const int key_columns = std::clamp(size.width / (static_cast<int>(widest) * 8 + 70), 1, 8);
  const int key_rows = (static_cast<int>(chart.legend.size()) + 1 + key_columns - 1) / key_columns;
  const int key_height = kKeyTop + key_rows * kKeyRowHeight;
  size.height = n_panels * (kPlotHeight + kTitleHeight) + key_height;

  const auto height = static_cast<double>(size.height);
  std::string script = "set multiplot\n";
  int n_blocks = 0;
  for (int p = 0; p < n_panels; ++p) {
    const Panel& panel = panels[p];
    std::vector<RunRow> mine;
    for (const std::size_t i : panel.rows) mine.push_back(rows[i]);
    const std::vector<Measure> qualities = quality_measures(mine);
    const double top = 1 - p * (kPlotHeight + kTitleHeight) / height;
    script += fmt::format("reset\nset label 99 {} at screen 0.012, screen {:.6f} font ',13'\n",
                          gnuplot_text(panel.title()), top - 0.6 * kTitleHeight / height);
    script += "set grid lc rgb '#E0E0E0' lw 1 lt 1\nset border 3 lc rgb '#505050'\nset tics nomirror\nunset key\n";
    for (int c = 0; c < n_columns && !qualities.empty(); ++c) {
      const MeasureAxis& cost = costs[c];
      const MeasureAxis& quality = chart.quality_axis(qualities.front());
      const std::vector<PlotLine> lines = lines_of(panel, quality.measure, cost.measure);
      if (lines.empty()) continue;
      const bool log_x = cost.log && any_above_0(lines, &PlotPoint::x);
      const bool log_y = quality.log && any_above_0(lines, &PlotPoint::y);
      script += fmt::format("set origin {:.6f},{:.6f}\nset size {:.6f},{:.6f}\n", c / static_cast<double>(n_columns),
                            top - (kPlotHeight + kTitleHeight) / height, 1.0 / n_columns, kPlotHeight / height);
      script += axes(lines, quality, cost, log_x, log_y) + plot_script(lines, styles, cost.joined, log_y, n_blocks);
      script += "unset label 99\n";
    }
  }
  script += key_script(chart.legend, key_columns, key_rows, key_height / height);
  return {size, script + "unset multiplot\n"};
}

void write_tradeoff(const std::vector<RunRow>& rows, const std::filesystem::path& path_png,
                    const std::filesystem::path& path_svg) {
  const Drawing drawing = tradeoff_drawing(rows);
  for (const std::filesystem::path& path : {path_png, path_svg}) {
    if (!path.empty()) write_picture(drawing.script, drawing.size, path);
  }
}

}  // namespace kvpress
