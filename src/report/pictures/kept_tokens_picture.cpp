#include "report/pictures/kept_tokens_picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/counted.h"
#include "report/pictures/charts.h"

namespace kvpress {
namespace {

constexpr int kLeft = 90;
constexpr int kRight = 20;
constexpr int kLeastWidth = 900;  // of the map
constexpr std::int64_t kMostBins = 1400;
constexpr int kTop = 52;
constexpr int kStrip = 110;  // the mean over heads
constexpr int kGap = 14;
constexpr int kBottom = 58;
constexpr int kMostLabels = 24;

/// Rows that can be told apart, and no picture larger than a screen.
int row_height(std::size_t n_rows) {
  const auto rows = static_cast<int>(n_rows);
  return std::max({3, std::min(14, 560 / rows), std::min(46, 140 / rows)});
}

/// Whole pixels: columns of unequal width would show as stripes.
int column_width(std::size_t n_bins) {
  const auto bins = static_cast<int>(n_bins);
  return (kLeastWidth + bins - 1) / bins;
}

/// "'0' 1, '1' 4": layers by the middle of their rows.
std::string layer_tics(const KeptTokens& kept) {
  const std::int64_t step = (kept.n_layers + kMostLabels - 1) / kMostLabels;
  std::string tics;
  for (std::int64_t l = 0; l < kept.n_layers; l += step) {
    tics += fmt::format("{}'{}' {}", l > 0 ? ", " : "", layer_name(kept, l),
                        static_cast<double>(l * kept.n_kv_heads) + static_cast<double>(kept.n_kv_heads - 1) / 2);
  }
  return tics;
}

/// "0 '#EEF1F4', ..., 1 '#08407C'"
std::string palette() {
  std::vector<std::string> stops;
  for (const ColorStop& it : kHeatScale) stops.push_back(fmt::format("{} '{}'", it.share, it.color.light));
  return fmt::format("{}", fmt::join(stops, ", "));
}

/// White lines between layers, as long as they leave something of the rows.
std::string layer_lines(const KeptTokens& kept, int height) {
  if (height < static_cast<int>(kept.n_layers) * 8) return "";
  std::string lines;
  for (std::int64_t l = 1; l < kept.n_layers; ++l) {
    lines +=
        fmt::format("set arrow from graph 0, first {0} to graph 1, first {0} nohead front lc rgb '#ffffff' lw 1.5\n",
                    static_cast<double>(l * kept.n_kv_heads) - 0.5);
  }
  return lines;
}

}  // namespace

KeptBins binned(const KeptTokens& kept, std::int64_t most_bins) {
  KeptBins bins;
  bins.bin = (kept.n_tokens + most_bins - 1) / most_bins;
  const std::int64_t n = (kept.n_tokens + bins.bin - 1) / bins.bin;
  bins.mean.resize(static_cast<std::size_t>(n));
  const std::vector<std::int64_t> counted = kept.counted_layers();
  const auto n_counted = static_cast<double>(std::ssize(counted) * kept.n_kv_heads);
  for (std::size_t head = 0; head < kept.heads.size(); ++head) {
    const auto& positions = kept.heads[head];
    const bool counts =
        std::binary_search(counted.begin(), counted.end(), static_cast<std::int64_t>(head) / kept.n_kv_heads);
    std::vector<double>& row = bins.heads.emplace_back(static_cast<std::size_t>(n));
    for (const std::int32_t it : positions) ++row[it / bins.bin];
    for (std::int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      row[at] /= static_cast<double>(std::min(bins.bin, kept.n_tokens - i * bins.bin));
      if (counts) bins.mean[at] += row[at] / n_counted;
    }
  }
  return bins;
}

Drawing kept_tokens_drawing(const KeptTokensRun& run, bool as_image) {
  const KeptTokens& kept = run.kept;
  const KeptBins bins = binned(kept, kMostBins);
  const KeptSummary summary = summary_of(kept);
  const int height = row_height(kept.heads.size()) * static_cast<int>(kept.heads.size());
  const int width = column_width(bins.mean.size()) * static_cast<int>(bins.mean.size());
  const PictureSize size{kLeft + width + kRight, kTop + height + kGap + kStrip + kBottom};
  const auto screen = [&](int pixels_from_top) { return 1 - pixels_from_top / static_cast<double>(size.height); };

  const auto across = [&](int pixels) { return pixels / static_cast<double>(size.width); };
  const std::int64_t axis_end = bins.bin * static_cast<std::int64_t>(bins.mean.size());

  std::string script = "$map << EOD\n";
  for (const auto& row : bins.heads) {
    std::string line;
    for (const double it : row) line += fmt::format("{:.3g} ", it);
    script += line + "\n";
  }
  script += "EOD\n$mean << EOD\n";
  for (std::size_t i = 0; i < bins.mean.size(); ++i) {
    const auto first = static_cast<std::int64_t>(i) * bins.bin;
    const std::int64_t last = std::min(first + bins.bin, kept.n_tokens);
    script += fmt::format("{} {:.6g}\n{} {:.6g}\n", first, 100 * bins.mean[i], last, 100 * bins.mean[i]);
  }
  script += "EOD\nset multiplot\n";
  script += fmt::format(
      "set label 1 {} at screen {:.6f}, screen {:.6f} font ',13'\nset label 2 {} at screen {:.6f}, screen {:.6f} "
      "textcolor "
      "rgb '#505050'\n",
      gnuplot_text(run.name()), across(kLeft), screen(16),
      gnuplot_text(fmt::format("kept tokens are dark: {:.1f} % of {}; {} in all of {}, {} in no head{}{}",
                               100 * summary.share, counted(kept.n_tokens, "token"), summary.by_all,
                               counted(summary.n_heads, "head"), summary.by_none,
                               bins.bin > 1 ? fmt::format("; a column is {} tokens", bins.bin) : "",
                               kept.windows.empty() ? "" : fmt::format("; not counted: {}", windows_text(kept)))),
      across(kLeft), screen(36));
  script += fmt::format(
      "set lmargin at screen {:.6f}\nset rmargin at screen {:.6f}\nset tmargin at screen {:.6f}\nset bmargin at screen "
      "{:.6f}\nset border 3 lc rgb '#505050'\nset tics scale 0.5 nomirror out\nunset key\nunset colorbox\n"
      "set palette defined ({})\nset cbrange [0:1]\nset xrange [0:{}]\n"
      "set format x ''\nset yrange [{}:-0.5]\nset ytics ({})\nset ylabel {}\n{}",
      across(kLeft), across(kLeft + width), screen(kTop), screen(kTop + height), palette(), axis_end,
      static_cast<double>(kept.heads.size()) - 0.5, layer_tics(kept), gnuplot_text(layer_axis(kept)),
      layer_lines(kept, height));
  // As an image a PNG has no seams; in an SVG an image would be smoothed, and rectangles stay sharp.
  script +=
      fmt::format("plot $map matrix using (({0}*$1)+{0}/2.0):2:3 with image{1}\n", bins.bin, as_image ? "" : " pixels");
  script += fmt::format(
      "unset label\nunset arrow\nset tmargin at screen {:.6f}\nset bmargin at screen {:.6f}\nset format x '%g'\nset "
      "xlabel {}\nset yrange [0:100]\nset ytics (0, 50, 100)\nset ylabel {}\n"
      "plot $mean using 1:2 with filledcurves y1=0 lc rgb '{}' fs solid 0.7, $mean using 1:2 with lines lc rgb "
      "'{}' lw 1\nunset multiplot\n",
      screen(kTop + height + kGap), screen(kTop + height + kGap + kStrip), gnuplot_text(kPositionAxis),
      gnuplot_text(kShareAxis), kHeatScale[1].color.light, kHeatScale[2].color.light);
  return {size, script};
}

void write_kept_tokens_picture(const KeptTokensRun& run, const std::filesystem::path& path) {
  const Drawing drawing = kept_tokens_drawing(run, path.extension() == ".png");
  write_picture(drawing.script, drawing.size, path);
}

}  // namespace kvpress
