#include "report/pictures/breakeven_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/pictures/gnuplot.h"
#include "report/pictures/palette.h"

namespace kvpress {
namespace {

constexpr int kWidth = 1280;
constexpr int kRowHeight = 440;
constexpr int kTitleHeight = 44;
constexpr int kKeyHeight = 60;
constexpr double kLeftShare = 0.62;
/// Points of a curve.
constexpr int kPoints = 120;

/// Lengths from 1 to the longest, evenly on a logarithmic axis.
std::vector<std::int64_t> lengths(std::int64_t longest) {
  std::set<std::int64_t> values;
  for (int i = 0; i <= kPoints; ++i) {
    values.insert(std::llround(std::pow(static_cast<double>(longest), static_cast<double>(i) / kPoints)));
  }
  return {values.begin(), values.end()};
}

/// Lines of a script that grow: data blocks first, then what is plotted.
struct Plot {
  std::string data;
  std::string lines;
  int* n_blocks;

  template <typename Write>
  std::string block(Write write) {
    const std::string name = fmt::format("$d{}", (*n_blocks)++);
    data += name + " << EOD\n";
    write(data);
    data += "EOD\n";
    return name;
  }
  void line(const std::string& text) { lines += text + ", \\\n     "; }
  std::string script() const { return data + "plot " + lines + "NaN notitle\n"; }
};

std::string times_plot(const BreakEvenReport& report, const BreakEvenContext& context,
                       const std::map<std::string, PressStyle>& styles, int& n_blocks) {
  const AnswerCurve full = context.full_curve();
  const std::int64_t longest =
      std::max(full.n_measured(), *std::max_element(report.answers.begin(), report.answers.end()));
  const std::vector<std::int64_t> at = lengths(longest);
  Plot plot{{}, {}, &n_blocks};
  double least = 100;
  double most = 100;
  for (const PressedAnswer& run : context.runs) {
    const AnswerCurve curve = context.curve(run);
    const auto percent = [&](std::int64_t n) { return 100 * curve.seconds(n) / full.seconds(n); };
    const auto write = [&](bool measured) {
      return [&, measured](std::string& data) {
        for (const std::int64_t n : at) {
          // The first computed point is drawn from the last measured one.
          const bool here = full.is_measured(n) == measured || (!measured && n == full.n_measured());
          if (here) data += fmt::format("{} {:.6g}\n", n, percent(n));
        }
      };
    };
    for (const std::int64_t n : at) {
      least = std::min(least, percent(n));
      most = std::max(most, percent(n));
    }
    const PressStyle& style = styles.at(run.press);
    plot.line(fmt::format("{} using 1:2 with lines lw 2.4 lc rgb '{}' dt 1 notitle", plot.block(write(true)),
                          style.color.light));
    if (longest > full.n_measured()) {
      plot.line(fmt::format("{} using 1:2 with lines lw 2 lc rgb '{}' dt (4,4) notitle", plot.block(write(false)),
                            style.color.light));
    }
    const auto turn = break_even(full, curve);
    if (turn && *turn > 0 && *turn <= longest) {
      const std::string point = plot.block([&](std::string& data) { data += fmt::format("{} 100\n", *turn); });
      plot.line(fmt::format("{} using 1:2 with points pt 7 ps 1.4 lc rgb '{}' notitle", point, style.color.light));
    }
    const std::string name = plot.block([&](std::string& data) {
      data += fmt::format("{} {:.6g} {:.2f}\n", longest, percent(longest), run.compression_ratio);
    });
    plot.line(fmt::format("{} using 1:2:(sprintf(' %.2f', $3)) with labels left tc rgb '{}' font ',10' notitle", name,
                          style.color.light));
  }
  const double pad = std::max(1.0, 0.08 * (most - least));
  std::string script = fmt::format(
      "set logscale x\nset xrange [1:{}]\nset yrange [{:.6g}:{:.6g}]\nset xlabel 'answer length (tokens)'\n"
      "set ylabel 'time of context and answer (% of the full cache)'\n"
      "set arrow 1 from graph 0, first 100 to graph 1, first 100 nohead lc rgb '#505050' lw 1\n",
      1.8 * static_cast<double>(longest), least - pad, most + pad);
  if (longest > full.n_measured()) {
    script += fmt::format(
        "set arrow 2 from first {0}, graph 0 to first {0}, graph 1 nohead lc rgb '#B0B0B0' dt (2,4)\n"
        "set label 2 ' extrapolated beyond {0}' at first {0}, graph 0.035 tc rgb '#707070' font ',10'\n",
        full.n_measured());
  }
  return script + plot.script() + "unset logscale x\nunset arrow 1\nunset arrow 2\nunset label 2\n";
}

std::string quality_plot(const BreakEvenReport& report, const BreakEvenContext& context,
                         const std::vector<std::string>& presses, const std::map<std::string, PressStyle>& styles,
                         int& n_blocks) {
  Plot plot{{}, {}, &n_blocks};
  double least = 0;
  double most = report.tolerance;
  for (const std::string& press : presses) {
    const std::string name = plot.block([&](std::string& data) {
      for (const PressedAnswer& it : context.runs) {
        if (it.press != press) continue;
        const auto& [low, high] = it.quality.delta_nll_ci95;
        data += fmt::format("{:.6g} {:.6g} {:.6g} {:.6g}\n", it.compression_ratio, it.quality.delta_nll, low, high);
        least = std::min({least, low, it.quality.delta_nll});
        most = std::max({most, high, it.quality.delta_nll});
      }
    });
    const std::string style = gnuplot_style(styles.at(press));
    plot.line(fmt::format("{} using 1:2:3:4 with yerrorbars lw 1 {} ps 0 notitle", name, style));
    plot.line(fmt::format("{} using 1:2 with linespoints lw 2 {} ps 1.3 notitle", name, style));
  }
  const double pad = 0.08 * std::max(1e-4, most - least);
  return fmt::format(
             "set xrange [0:1]\nset yrange [{:.6g}:{:.6g}]\nset xlabel 'compression ratio'\n"
             "set ylabel 'delta NLL (nats per token)'\n"
             "set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lc rgb '#505050' lw 1\n"
             "set arrow 2 from graph 0, first {:.6g} to graph 1, first {:.6g} nohead lc rgb '#909090' dt (6,4)\n"
             "set label 2 ' tolerance' at graph 0, first {:.6g} offset 0,0.5 tc rgb '#707070' font ',10'\n",
             least - pad, most + pad, report.tolerance, report.tolerance, report.tolerance) +
         plot.script() + "unset arrow 1\nunset arrow 2\nunset label 2\n";
}

}  // namespace

void write_break_even_picture(const BreakEvenReport& report, const std::filesystem::path& path) {
  std::vector<std::string> presses;
  for (const PressedAnswer& it : report.contexts.front().runs) {
    if (std::find(presses.begin(), presses.end(), it.press) == presses.end()) presses.push_back(it.press);
  }
  const auto styles = press_styles(presses);
  const int n_rows = static_cast<int>(report.contexts.size());
  const PictureSize size{kWidth, n_rows * (kRowHeight + kTitleHeight) + kKeyHeight};
  const auto height = static_cast<double>(size.height);
  std::string script = "set multiplot\n";
  int n_blocks = 0;
  for (int r = 0; r < n_rows; ++r) {
    const BreakEvenContext& context = report.contexts[r];
    const double top = 1 - r * (kRowHeight + kTitleHeight) / height;
    const std::string title = fmt::format("{}, {}: context of {} tokens", report.about["model"].get<std::string>(),
                                          report.about["dataset"].get<std::string>(), context.n_context);
    script += fmt::format(
        "reset\nset label 99 {} at screen 0.012, screen {:.6f} font ',13'\n"
        "set grid lc rgb '#E0E0E0' lw 1 lt 1\nset border 3 lc rgb '#505050'\nset tics nomirror\nunset key\n",
        gnuplot_text(title), top - 0.6 * kTitleHeight / height);
    const double bottom = top - (kRowHeight + kTitleHeight) / height;
    script += fmt::format("set origin 0,{:.6f}\nset size {},{:.6f}\n", bottom, kLeftShare, kRowHeight / height);
    script += times_plot(report, context, styles, n_blocks) + "unset label 99\n";
    script += fmt::format("set origin {},{:.6f}\nset size {},{:.6f}\n", kLeftShare, bottom, 1 - kLeftShare,
                          kRowHeight / height);
    script += quality_plot(report, context, presses, styles, n_blocks);
  }
  script += fmt::format(
      "reset\nset origin 0,0\nset size 1,{:.6f}\nset lmargin 0\nset rmargin 0\nset tmargin 0\nset bmargin 0\n"
      "unset border\nunset tics\nset xrange [0:1]\nset yrange [0:1]\nset key center center horizontal Left reverse "
      "samplen 4 width 2\nplot ",
      kKeyHeight / height);
  for (const std::string& press : presses) {
    script += fmt::format("NaN with linespoints lw 2 {} ps 1.3 title {}, \\\n     ", gnuplot_style(styles.at(press)),
                          gnuplot_text(press));
  }
  script += "NaN with points pt 7 ps 1.4 lc rgb '#505050' title 'break-even length'\nunset multiplot\n";
  write_picture(script, size, path);
}

}  // namespace kvpress
