#include "report/pictures/breakeven_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/counted.h"
#include "report/documents/ranking.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/palette.h"

namespace kvpress {
namespace {

constexpr int kWidth = 1280;
constexpr int kRowHeight = 440;
constexpr int kTitleHeight = 44;
constexpr int kKeyTop = 16;
constexpr int kKeyRowHeight = 26;
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

/// Marks of the ratios of a press, by turns.
constexpr std::array<Mark, 12> kRatioMarks = {Mark::circle,        Mark::open_square,   Mark::triangle,
                                              Mark::open_diamond,  Mark::square,        Mark::open_circle,
                                              Mark::triangle_down, Mark::open_triangle, Mark::diamond,
                                              Mark::plus,          Mark::cross,         Mark::open_triangle_down};

/// The press's colour and dash, with the mark of the ratio: the place of the run among those of its press.
PressStyle style_of(const BreakEvenContext& context, const PressedAnswer& run,
                    const std::map<std::string, PressStyle>& styles) {
  std::size_t place = 0;
  for (const PressedAnswer& it : context.runs) {
    if (&it == &run) break;
    place += it.press == run.press ? 1 : 0;
  }
  PressStyle style = styles.at(run.press);
  style.mark = kRatioMarks[place % kRatioMarks.size()];
  return style;
}

std::string name_of(const PressedAnswer& run) { return run_text(run.press, run.compression_ratio, run.evicted()); }

/// Heights for labels at these heights, in their order, at least `gap` apart and as near as that allows.
std::vector<double> spread_out(const std::vector<double>& heights, double gap) {
  std::vector<std::size_t> order(heights.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return heights[a] < heights[b]; });
  std::vector<double> placed(heights.size());
  // Labels that touch form a block, around the middle of where its labels belong.
  struct Block {
    double sum = 0;  // of the wanted heights of the first, were it to stand there
    std::size_t n = 0;
    double first() const { return sum / static_cast<double>(n); }
  };
  std::vector<Block> blocks;
  for (const std::size_t i : order) {
    blocks.push_back({heights[i], 1});
    while (blocks.size() > 1) {
      const Block above = blocks.back();
      Block& below = blocks[blocks.size() - 2];
      if (below.first() + static_cast<double>(below.n) * gap <= above.first()) break;
      below.sum += above.sum - static_cast<double>(above.n * below.n) * gap;
      below.n += above.n;
      blocks.pop_back();
    }
  }
  std::size_t at = 0;
  for (const Block& block : blocks) {
    for (std::size_t k = 0; k < block.n; ++k) placed[order[at++]] = block.first() + static_cast<double>(k) * gap;
  }
  return placed;
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
  std::vector<double> ends;  // where the lines end
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
    const PressStyle style = style_of(context, run, styles);
    const std::string measured = gnuplot_style({style.color, style.mark, Dash::solid});
    const std::string computed = gnuplot_style({style.color, style.mark, Dash::dotted});
    plot.line(
        fmt::format("{} using 1:2 with linespoints lw 2.4 {} ps 1 pi 17 notitle", plot.block(write(true)), measured));
    if (longest > full.n_measured()) {
      plot.line(
          fmt::format("{} using 1:2 with linespoints lw 2 {} ps 1 pi 17 notitle", plot.block(write(false)), computed));
    }
    const auto turn = break_even(full, curve);
    if (turn && *turn > 0 && *turn <= longest) {
      const std::string point = plot.block([&](std::string& data) { data += fmt::format("{} 100\n", *turn); });
      plot.line(
          fmt::format("{} using 1:2 with points pt 1 ps 2.2 lw 2.4 lc rgb '{}' notitle", point, style.color.light));
    }
    ends.push_back(percent(longest));
  }
  const double pad = std::max(1.0, 0.08 * (most - least));
  // Labels of lines that end near each other would hide each other.
  const std::vector<double> heights = spread_out(ends, 0.045 * (most - least + 2 * pad));
  for (std::size_t i = 0; i < context.runs.size(); ++i) {
    const PressedAnswer& run = context.runs[i];
    const std::string name = plot.block([&](std::string& data) {
      data += fmt::format("{} {:.6g}\n", 1.04 * static_cast<double>(longest), heights[i]);
    });
    plot.line(fmt::format("{} using 1:2:({}) with labels left tc rgb '{}' font ',10' notitle", name,
                          gnuplot_text(fmt::format("{:.2f}", run.compression_ratio)),
                          styles.at(run.press).color.light));
  }
  std::string script = fmt::format(
      "set title 'time by the length of the answer'\nset logscale x\nset xrange [1:{}]\nset yrange "
      "[{:.6g}:{:.6g}]\nset xlabel 'answer length (tokens)'\n"
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
        data += fmt::format("{:.6g} {:.6g} {:.6g} {:.6g}\n", it.evicted(), it.quality.delta_nll, low, high);
        least = std::min({least, low, it.quality.delta_nll});
        most = std::max({most, high, it.quality.delta_nll});
      }
    });
    const std::string style = gnuplot_style(styles.at(press));
    plot.line(fmt::format("{} using 1:2:3:4 with yerrorbars lw 1 {} ps 0 notitle", name, style));
    plot.line(fmt::format("{} using 1:2 with lines lw 2 {} notitle", name, style));
  }
  for (const PressedAnswer& it : context.runs) {
    const std::string name = plot.block(
        [&](std::string& data) { data += fmt::format("{:.6g} {:.6g}\n", it.evicted(), it.quality.delta_nll); });
    plot.line(
        fmt::format("{} using 1:2 with points {} ps 1.3 notitle", name, gnuplot_style(style_of(context, it, styles))));
  }
  const double pad = 0.08 * std::max(1e-4, most - least);
  return fmt::format(
             "set title 'quality by what was evicted'\nset xrange [0:1]\nset yrange [{:.6g}:{:.6g}]\nset xlabel 'share "
             "of the cache evicted, measured'\n"
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
  // A press at a ratio each, and the mark of break-even lengths.
  std::size_t widest = 0;
  for (const PressedAnswer& it : report.contexts.front().runs) widest = std::max(widest, name_of(it).size());
  const int n_entries = static_cast<int>(report.contexts.front().runs.size()) + 1;
  const int key_columns = std::clamp(kWidth / (static_cast<int>(widest) * 8 + 70), 1, 6);
  const int key_rows = (n_entries + key_columns - 1) / key_columns;
  const int key_height = kKeyTop + key_rows * kKeyRowHeight;
  const PictureSize size{kWidth, n_rows * (kRowHeight + kTitleHeight) + key_height};
  const auto height = static_cast<double>(size.height);
  std::string script = "set multiplot\n";
  int n_blocks = 0;
  for (int r = 0; r < n_rows; ++r) {
    const BreakEvenContext& context = report.contexts[r];
    const double top = 1 - r * (kRowHeight + kTitleHeight) / height;
    const std::string title =
        fmt::format("{}, {}: context of {}", report.about["model"].get<std::string>(),
                    report.about["dataset"].get<std::string>(), counted(context.n_context, "token"));
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
      "unset border\nunset tics\nset xrange [0:1]\nset yrange [0:1]\nset key center center Left reverse maxrows {} "
      "maxcols {} samplen 4 width 2\nplot ",
      key_height / height, key_rows, key_columns);
  for (const PressedAnswer& it : report.contexts.front().runs) {
    script += fmt::format("NaN with linespoints lw 2 {} ps 1.3 title {}, \\\n     ",
                          gnuplot_style(style_of(report.contexts.front(), it, styles)), gnuplot_text(name_of(it)));
  }
  script += "NaN with points pt 1 ps 2.2 lw 2.4 lc rgb '#505050' title 'break-even length'\nunset multiplot\n";
  write_picture(script, size, path);
}

}  // namespace kvpress
