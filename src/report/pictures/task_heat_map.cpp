#include "report/pictures/task_heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/pictures/gnuplot.h"

namespace kvpress {
namespace {

constexpr int kCellWidth = 78;
constexpr int kCellHeight = 34;
constexpr int kMargin = 110;  // of a panel: title, labels, scale

std::vector<std::string> labels_of(const std::vector<TaskCell>& cells, std::string TaskCell::*label) {
  std::vector<std::string> values;
  for (const TaskCell& cell : cells) {
    if (std::find(values.begin(), values.end(), cell.*label) == values.end()) values.push_back(cell.*label);
  }
  return values;
}

std::ptrdiff_t index_of(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) - values.begin();
}

std::string tics(const std::vector<std::string>& labels) {
  std::string text;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    text += fmt::format("{}{} {}", i > 0 ? ", " : "", gnuplot_text(labels[i]), i);
  }
  return "(" + text + ")";
}

std::string panel(const TaskReport& report, const TaskOutcome& outcome, std::size_t index, bool is_full) {
  const auto rows = labels_of(outcome.cells, &TaskCell::row);
  const auto columns = labels_of(outcome.cells, &TaskCell::column);
  std::string telling;
  std::string nothing;
  std::string labels;
  for (const TaskCell& cell : outcome.cells) {
    const std::string place = fmt::format("{} {}", index_of(columns, cell.column), index_of(rows, cell.row));
    (cell.says_nothing ? nothing : telling) += fmt::format("{} {}\n", place, 100 * cell.score);
    labels += fmt::format("{} \"{}\"\n", place, TaskReport::cell_text(cell, !is_full));
  }
  std::string script;
  std::vector<std::string> plots;
  const auto add = [&](const char* name, const std::string& data, const char* how) {
    if (data.empty()) return;
    script += fmt::format("${}{} << EOD\n{}EOD\n", name, index, data);
    plots.push_back(fmt::format("${}{} using {}", name, index, how));
  };
  add("telling", telling, "1:2:(0.48):(0.48):3 with boxxyerror lc palette fs solid 1.0 noborder");
  add("nothing", nothing, "1:2:(0.48):(0.48) with boxxyerror lc rgb '#999999' fs pattern 4");
  add("labels", labels, "1:2:3 with labels");
  const std::string title =
      is_full ? "full cache" : fmt::format("{}, ratio {:.2f}", outcome.press, outcome.compression_ratio);
  script += fmt::format("set title {}\nset xrange [-0.5:{}]\nset yrange [{}:-0.5]\nset xtics {}\nset ytics {}\n",
                        gnuplot_text(title), static_cast<double>(columns.size()) - 0.5,
                        static_cast<double>(rows.size()) - 0.5, tics(columns), tics(rows));
  script += fmt::format("set xlabel {}\nset ylabel {}\nplot ", gnuplot_text(report.set.column_axis),
                        gnuplot_text(report.set.row_axis));
  for (std::size_t i = 0; i < plots.size(); ++i) script += (i > 0 ? ", " : "") + plots[i];
  return script + "\n";
}

}  // namespace

bool has_heat_map(const TaskReport& report) { return !report.set.column_axis.empty(); }

void write_task_heat_map(const TaskReport& report, const std::filesystem::path& path) {
  const auto n_panels = static_cast<int>(report.outcomes.size()) + 1;
  const auto across = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(n_panels))));
  const int down = (n_panels + across - 1) / across;
  const auto n_columns = static_cast<int>(labels_of(report.full.cells, &TaskCell::column).size());
  const auto n_rows = static_cast<int>(labels_of(report.full.cells, &TaskCell::row).size());
  const PictureSize size{across * std::max(340, n_columns * kCellWidth + kMargin),
                         down * (n_rows * kCellHeight + kMargin) + 70};
  const bool any = std::any_of(report.full.cells.begin(), report.full.cells.end(),
                               [](const TaskCell& it) { return it.says_nothing; });
  const std::string heading =
      fmt::format("{}, {}: score{} in %{}", report.set.name,
                  std::filesystem::path(report.about["model"].get<std::string>()).filename().string(),
                  report.outcomes.empty() ? "" : "|full cache", any ? "; hatched: not informative" : "");
  std::string script = fmt::format("set multiplot layout {},{} title {}\n", down, across, gnuplot_text(heading));
  script +=
      "set palette defined (0 '#ffffcc', 35 '#c7e9b4', 65 '#7fcdbb', 100 '#52a7d1')\nset cbrange [0:100]\n"
      "unset key\nunset colorbox\nset tics scale 0\nset border 0\n";
  script += panel(report, report.full, 0, true);
  for (std::size_t i = 0; i < report.outcomes.size(); ++i) script += panel(report, report.outcomes[i], i + 1, false);
  write_picture(script + "unset multiplot\n", size, path);
}

}  // namespace kvpress
