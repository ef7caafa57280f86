// kvpress report: result folders as pictures and as one HTML page.
#include <fmt/format.h>

#include <memory>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "report/page/html_report.h"
#include "report/page/kept_tokens_page.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/timeline_picture.h"
#include "report/pictures/tradeoff.h"

namespace kvpress {
namespace {

struct ReportOptions {
  std::vector<std::string> folders;
  std::string output = "report.html";
  std::string title = "kvpress report";
  bool no_pictures = false;
  bool quiet = false;
};

void run(const ReportOptions& options) {
  set_quiet(options.quiet);
  const std::filesystem::path page = options.output;
  const std::filesystem::path folder = page.parent_path();
  check_can_write(page);
  if (!options.no_pictures) check_can_draw(folder / "tradeoff.png");
  const std::vector<std::filesystem::path> folders{options.folders.begin(), options.folders.end()};
  ReportExtras extras;
  extras.kept_tokens = read_kept_tokens(folders);
  const std::vector<RunRow> rows = read_result_folders(folders, !extras.kept_tokens.empty());
  if (rows.empty()) {  // heat maps alone
    write_file(page, kept_tokens_page(extras.kept_tokens, options.title));
    fmt::print("{}: wrote {}\n", counted(extras.kept_tokens.size(), "heat map"), page.string());
    return;
  }
  extras.title = options.title;
  write_html_report(rows, extras, page);
  std::string written = page.string();
  if (!options.no_pictures) {
    write_tradeoff(rows, folder / "tradeoff.png", folder / "tradeoff.svg");
    written += fmt::format(", {}, {}", (folder / "tradeoff.png").string(), (folder / "tradeoff.svg").string());
    if (const auto timelines = timelines_of(rows); !timelines.empty()) {
      write_timeline_picture(timelines, folder / "timeline.png");
      written += ", " + (folder / "timeline.png").string();
    }
  }
  fmt::print("{}: wrote {}\n", counted(rows.size(), "run"), written);
}

}  // namespace

void add_report_command(CLI::App& program) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = program.add_subcommand("report", "Make an HTML page and pictures of result folders");
  command
      ->add_option("folders", options->folders,
                   "Folders that contain, at any depth, result folders of kvpress evaluate or sweep or of kvpress's "
                   "evaluation, or heat maps of kvpress heatmap")
      ->required();
  command->add_option("-o,--output", options->output, "File of the page; pictures are written to the same folder")
      ->capture_default_str();
  command->add_option("--title", options->title, "Title of the page")->capture_default_str();
  command->add_flag("--no-pictures", options->no_pictures, "Write only the page, without gnuplot");
  add_plugin_option(*command);
  command->add_flag("--quiet", options->quiet, "Print only errors to stderr");
  command->footer(
      "Examples:\n"
      "  kvpress report runs -o runs/report.html\n"
      "  kvpress report runs/demo results_of_kvpress --title 'SnapKV on two models'");
  command->callback([options] { run(*options); });
}

}  // namespace kvpress
