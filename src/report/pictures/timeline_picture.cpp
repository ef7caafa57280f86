#include "report/pictures/timeline_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "report/pictures/charts.h"

namespace kvpress {
namespace {

constexpr std::size_t kMostRuns = 8;
constexpr int kPlotHeight = 230;
constexpr int kBottom = 84;  // the axis below the last plot, and the key
const MemoryCurve& kCache = kMemoryCurves[0];
const MemoryCurve& kResident = kMemoryCurves[1];

const Color& color_of(Phase phase) { return kPhaseColors[static_cast<std::size_t>(phase)]; }

double largest(const std::vector<NamedTimeline>& runs, const auto& value) {
  double most = 0;
  for (const NamedTimeline& run : runs) {
    for (const MemoryPoint& it : run.points) most = std::max(most, value(it));
  }
  return most;
}

std::string plot(const NamedTimeline& run, std::size_t index, double top) {
  std::string script;
  std::string plots;
  const std::vector<PhaseBand> bands = phase_bands(run.points);
  for (const Phase phase : phases_of({bands})) {
    script += fmt::format("${}{} << EOD\n", to_string(phase), index);
    for (const PhaseBand& it : bands) {
      if (it.phase != phase) continue;
      script += fmt::format("{0:.6g} {1:.6g} {0:.6g} {2:.6g}\n", run.points[it.first].seconds, top / 2,
                            run.points[it.last].seconds);
    }
    script += "EOD\n";
    plots +=
        fmt::format("${}{} using 1:2:3:4:(0):({:.6g}) with boxxyerror lc rgb '{}' fs solid 0.22 noborder notitle, ",
                    to_string(phase), index, top, color_of(phase).light);
  }
  script += fmt::format("$points{} << EOD\n", index);
  for (const MemoryPoint& it : run.points) {
    script += fmt::format("{:.6g} {:.6g} {:.6g}\n", it.seconds, kCache.value(it), kResident.value(it));
  }
  script += "EOD\n";
  return script + fmt::format(
                      "set title {} offset 0,-0.7\nplot {} $points{} using 1:3 axes x1y2 with lines lw 1.6 {} notitle, "
                      "$points{} using 1:2 with lines lw 1.8 {} notitle\n",
                      gnuplot_text(run.name), plots, index, gnuplot_style(kResident.style), index,
                      gnuplot_style(kCache.style));
}

std::string key(const std::vector<NamedTimeline>& runs, double height) {
  std::string script = fmt::format(
      "reset\nset origin 0,0\nset size 1,{:.6f}\nset lmargin 0\nset rmargin 0\nset tmargin 0\nset bmargin 0\nunset "
      "border\nunset tics\nset xrange [0:1]\nset yrange [0:1]\nset key center center Left reverse maxrows 1 samplen 3 "
      "width 1\nplot ",
      30 / height);
  std::string separator;
  for (const MemoryCurve& it : kMemoryCurves) {
    script +=
        fmt::format("{}NaN with lines lw 2 {} title {}", separator, gnuplot_style(it.style), gnuplot_text(it.title));
    separator = ", ";
  }
  std::vector<std::vector<PhaseBand>> bands;
  for (const NamedTimeline& it : runs) bands.push_back(phase_bands(it.points));
  for (const Phase it : phases_of(bands)) {
    script += fmt::format(", NaN with boxes fs solid 0.22 noborder lc rgb '{}' title '{}'", color_of(it).light,
                          to_string(it));
  }
  return script + "\n";
}

}  // namespace

std::string run_name(const RunRow& row) {
  return fmt::format("{} at {:.2f}, {}{}", row.press, row.compression_ratio, row.dataset,
                     row.protocol.empty() ? "" : ", " + row.protocol);
}

std::vector<NamedTimeline> timelines_of(const std::vector<RunRow>& rows) {
  const RunRow* first = nullptr;
  std::map<std::tuple<bool, std::string>, const RunRow*> by_press;
  for (const RunRow& row : rows) {
    if (row.timeline.empty()) continue;
    if (first == nullptr) first = &row;
    if (row.model != first->model || row.dataset != first->dataset || row.protocol != first->protocol) continue;
    const RunRow*& chosen = by_press[{!row.is_full_cache(), row.press}];
    const auto distance = [](const RunRow& it) { return std::abs(it.compression_ratio - 0.5); };
    if (chosen == nullptr || distance(row) < distance(*chosen)) chosen = &row;
  }
  std::vector<NamedTimeline> timelines;
  for (const auto& [press, row] : by_press) {
    if (timelines.size() < kMostRuns) timelines.push_back({run_name(*row), row->timeline});
  }
  return timelines;
}

Drawing timeline_drawing(const std::vector<NamedTimeline>& runs) {
  const double seconds = largest(runs, [](const MemoryPoint& it) { return it.seconds; });
  const double cache = std::max(1e-3, largest(runs, [](const MemoryPoint& it) { return kCache.value(it); })) * 1.06;
  const double resident =
      std::max(1.0, largest(runs, [](const MemoryPoint& it) { return kResident.value(it); })) * 1.06;
  const PictureSize size{1100, static_cast<int>(runs.size()) * kPlotHeight + kBottom};
  const auto height = static_cast<double>(size.height);
  std::string script = "set multiplot\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const bool last = i + 1 == runs.size();
    const double plot_top = 1 - static_cast<double>(i) * kPlotHeight / height;
    script += fmt::format(
        "reset\nset tmargin at screen {:.6f}\nset bmargin at screen {:.6f}\nset lmargin at screen 0.085\nset rmargin "
        "at "
        "screen 0.915\nset border 11 lc rgb '#505050'\nset xrange [0:{:.6g}]\nset yrange [0:{:.6g}]\nset y2range "
        "[0:{:.6g}]\nset xtics nomirror\nset ytics nomirror\nset y2tics\nset grid x y lc rgb '#E0E0E0' lw 1 lt "
        "1\nunset "
        "key\nset ylabel {} textcolor rgb '{}'\nset y2label {} textcolor rgb '{}'\n",
        plot_top - 34 / height, plot_top - (kPlotHeight - 24) / height, std::max(seconds, 1e-6), cache, resident,
        gnuplot_text(kCache.axis()), kCache.style.color.light, gnuplot_text(kResident.axis()),
        kResident.style.color.light);
    if (last) script += fmt::format("set xlabel {}\n", gnuplot_text(kSecondsAxis.title));
    script += plot(runs[i], i, cache);
  }
  return {size, script + key(runs, height) + "unset multiplot\n"};
}

void write_timeline_picture(const std::vector<NamedTimeline>& runs, const std::filesystem::path& path) {
  const Drawing drawing = timeline_drawing(runs);
  write_picture(drawing.script, drawing.size, path);
}

}  // namespace kvpress
