#include "report/pictures/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

#include "kvpress/base/error.h"
#include "report/pictures/gnuplot.h"

namespace kvpress {
namespace {

constexpr std::array kNumbers = {"seconds", "tokens", "cache", "resident"};
constexpr std::size_t kMostRuns = 8;
constexpr int kPlotHeight = 230;
constexpr int kBottom = 84;  // the axis below the last plot, and the key
constexpr double kMebi = 1 << 20;

/// As report/page/timeline.js has them.
constexpr std::array<std::pair<const char*, const char*>, kPhases> kPhaseColors = {
    {{"prefill", "#0072B2"}, {"compress", "#D55E00"}, {"score", "#009E73"}, {"decode", "#E69F00"}}};

/// A stretch of one phase, in seconds.
struct Band {
  std::string phase;
  double from, to;
};

std::vector<Band> bands_of(const Json& timeline) {
  std::vector<Band> bands;
  for (std::size_t i = 1; i < timeline["seconds"].size(); ++i) {
    auto phase = timeline["phase"][i].get<std::string>();
    const double to = timeline["seconds"][i].get<double>();
    if (!bands.empty() && bands.back().phase == phase) {
      bands.back().to = to;
    } else {
      bands.push_back({std::move(phase), timeline["seconds"][i - 1].get<double>(), to});
    }
  }
  return bands;
}

double largest(const std::vector<NamedTimeline>& runs, const char* key) {
  double most = 0;
  for (const NamedTimeline& run : runs) {
    for (const Json& it : (*run.timeline)[key]) most = std::max(most, it.get<double>());
  }
  return most;
}

std::string plot(const NamedTimeline& run, std::size_t index, double top) {
  std::string script;
  std::string plots;
  const std::vector<Band> bands = bands_of(*run.timeline);
  for (const auto& [phase, color] : kPhaseColors) {
    std::string data;
    for (const Band& it : bands) {
      if (it.phase == phase) data += fmt::format("{0:.6g} {1:.6g} {0:.6g} {2:.6g}\n", it.from, top / 2, it.to);
    }
    if (data.empty()) continue;
    script += fmt::format("${}{} << EOD\n{}EOD\n", phase, index, data);
    plots +=
        fmt::format("${}{} using 1:2:3:4:(0):({:.6g}) with boxxyerror lc rgb '{}' fs solid 0.22 noborder notitle, ",
                    phase, index, top, color);
  }
  script += fmt::format("$points{} << EOD\n", index);
  const Json& it = *run.timeline;
  for (std::size_t i = 0; i < it["seconds"].size(); ++i) {
    script += fmt::format("{:.6g} {:.6g} {:.6g}\n", it["seconds"][i].get<double>(),
                          it["cache"][i].get<double>() / kMebi, it["resident"][i].get<double>() / kMebi);
  }
  script += "EOD\n";
  return script +
         fmt::format(
             "set title {} offset 0,-0.7\nplot {} $points{} using 1:3 axes x1y2 with lines lw 1.6 dt (7,4) lc rgb "
             "'#D55E00' notitle, $points{} using 1:2 with lines lw 1.8 lc rgb '#0072B2' notitle\n",
             gnuplot_text(run.name), plots, index, index);
}

std::string key(const std::vector<NamedTimeline>& runs, double height) {
  std::string script = fmt::format(
      "reset\nset origin 0,0\nset size 1,{:.6f}\nset lmargin 0\nset rmargin 0\nset tmargin 0\nset bmargin 0\nunset "
      "border\nunset tics\nset xrange [0:1]\nset yrange [0:1]\nset key center center Left reverse maxrows 1 samplen 3 "
      "width 1\nplot NaN with lines lw 2 lc rgb '#0072B2' title 'cache', NaN with lines lw 2 dt (7,4) lc rgb "
      "'#D55E00' title 'resident'",
      30 / height);
  for (const auto& [phase, color] : kPhaseColors) {
    const bool any = std::any_of(runs.begin(), runs.end(), [name = phase](const NamedTimeline& run) {
      const auto bands = bands_of(*run.timeline);
      return std::any_of(bands.begin(), bands.end(), [&](const Band& it) { return it.phase == name; });
    });
    if (any) script += fmt::format(", NaN with boxes fs solid 0.22 noborder lc rgb '{}' title '{}'", color, phase);
  }
  return script + "\n";
}

}  // namespace

Json timeline_document(const Timeline& timeline) {
  Json document;
  for (const char* it : {"phase", "seconds", "tokens", "cache", "resident"}) document[it] = Json::array();
  const std::vector<TimelinePoint> points = timeline.points();
  for (std::size_t i = 0; i < points.size(); ++i) {
    const TimelinePoint& it = points[i];
    document["phase"].push_back(to_string(it.phase_since(i > 0 ? points[i - 1] : TimelinePoint())));
    document["seconds"].push_back(std::round(it.seconds * 1e6) / 1e6);
    document["tokens"].push_back(it.tokens);
    document["cache"].push_back(it.cache);
    document["resident"].push_back(it.resident);
  }
  for (std::size_t i = 0; i < kPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    document["phase_seconds"][std::string(to_string(phase))] = timeline.seconds_of(phase);
  }
  return document;
}

std::string timeline_text(const Json& timeline) {
  std::string text;
  for (const auto& [name, value] : timeline.items()) {
    text += fmt::format("{} {}: {}", text.empty() ? "{" : ",\n ", Json(name).dump(), value.dump());
  }
  return text + "\n}\n";
}

MoreFiles timeline_file(const RunResult& run) {
  if (run.timeline.empty()) return {};
  return {{"timeline.json", timeline_text(timeline_document(run.timeline))}};
}

void check_timeline(const Json& document) {
  const auto list = [&](const char* name) -> const Json& {
    if (!document.is_object() || !document.contains(name) || !document[name].is_array()) {
      fail("timeline: '{}' must be a list", name);
    }
    return document[name];
  };
  const std::size_t n = list("phase").size();
  if (n == 0) fail("timeline: there must be at least one point");
  for (const Json& it : document["phase"]) {
    if (!it.is_string()) fail("timeline: 'phase' must contain names, not {}", it.dump().substr(0, 40));
  }
  for (const char* name : kNumbers) {
    if (list(name).size() != n) fail("timeline: '{}' has {} values, but 'phase' has {}", name, list(name).size(), n);
    double before = 0;
    for (const Json& it : document[name]) {
      if (!it.is_number() || !std::isfinite(it.get<double>()) || it.get<double>() < 0) {
        fail("timeline: '{}' must contain numbers of at least 0, not {}", name, it.dump().substr(0, 40));
      }
      if (std::string_view(name) == "seconds" && it.get<double>() < before)
        fail("timeline: 'seconds' must not decrease");
      before = it.get<double>();
    }
  }
}

std::string run_name(const RunRow& row) {
  return fmt::format("{} at {:.2f}, {}{}", row.press, row.compression_ratio, row.dataset,
                     row.protocol.empty() ? "" : ", " + row.protocol);
}

std::vector<NamedTimeline> timelines_of(const std::vector<RunRow>& rows) {
  const RunRow* first = nullptr;
  std::map<std::tuple<bool, std::string>, const RunRow*> by_press;
  for (const RunRow& row : rows) {
    if (row.timeline == nullptr) continue;
    if (first == nullptr) first = &row;
    if (row.model != first->model || row.dataset != first->dataset || row.protocol != first->protocol) continue;
    const RunRow*& chosen = by_press[{!row.is_full_cache(), row.press}];
    const auto distance = [](const RunRow& it) { return std::abs(it.compression_ratio - 0.5); };
    if (chosen == nullptr || distance(row) < distance(*chosen)) chosen = &row;
  }
  std::vector<NamedTimeline> timelines;
  for (const auto& [press, row] : by_press) {
    if (timelines.size() < kMostRuns) timelines.push_back({run_name(*row), row->timeline.get()});
  }
  return timelines;
}

void write_timeline_picture(const std::vector<NamedTimeline>& runs, const std::filesystem::path& path) {
  const double seconds = largest(runs, "seconds");
  const double cache = std::max(1e-3, largest(runs, "cache") / kMebi) * 1.06;
  const double resident = std::max(1.0, largest(runs, "resident") / kMebi) * 1.06;
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
        "key\nset ylabel 'KV cache (MiB)' textcolor rgb '#0072B2'\nset y2label 'resident (MiB)' textcolor rgb "
        "'#D55E00'\n",
        plot_top - 34 / height, plot_top - (kPlotHeight - 24) / height, std::max(seconds, 1e-6), cache, resident);
    if (last) script += "set xlabel 'seconds'\n";
    script += plot(runs[i], i, cache);
  }
  write_picture(script + key(runs, height) + "unset multiplot\n", size, path);
}

}  // namespace kvpress
