// kvpress sweep: many presses at many ratios, a result folder for each run, and never the same work twice.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/sweep_mpi.h"
#include "cli/sweep_options.h"
#include "cli/sweep_slurm.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "report/documents/sweep_document.h"
#include "report/documents/sweep_results.h"
#include "report/page/html_report.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/timeline_picture.h"
#include "report/pictures/tradeoff.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

struct SweepCommand {
  SweepOptions options;
  SlurmOptions slurm;
  std::string plan_file;
  std::string output;
  std::string resume;
  std::string collect;
  std::string slice;
  bool dry_run = false;
};

/// The folder of the sweep that the command is about, wherever it was named.
std::string folder_of(const SweepCommand& command) {
  const int named = !command.output.empty() + !command.resume.empty() + !command.collect.empty();
  if (named != 1 && !(command.dry_run && named == 0)) {
    fail_usage(
        "-o, --resume, --collect: exactly one of them is needed: the folder of a new sweep, of one to resume, or of "
        "one to summarize");
  }
  return command.output + command.resume + command.collect;
}

/// Throws Error that says what is not as it was when the sweep began.
void refuse_changes(const Json& then, const Json& now, const std::string& folder) {
  const std::string remedy =
      fmt::format("new runs would not be comparable with those in {}; start a new sweep", folder);
  if (then["version"] != now["version"] || then["program"] != now["program"]) {
    fail("{}: the program has changed since the sweep was started (version {} then, {} now, or another build); {}",
         folder, then["version"].get<std::string>(), now["version"].get<std::string>(), remedy);
  }
  if (then["model"] != now["model"])
    fail("{}: the model files have changed since the sweep was started; {}", folder, remedy);
  if (then["texts"] != now["texts"]) fail("{}: the texts have changed since the sweep was started; {}", folder, remedy);
}

/// Indices of the runs that are not there yet, in the slice. Throws Error for a damaged one.
std::vector<std::size_t> missing_runs(const SweepRunner& runner, const SweepFolder& folder, const SweepSlice& slice) {
  std::vector<std::size_t> missing;
  for (std::size_t i = slice.first; i < slice.last; ++i) {
    if (!folder.metrics(sweep_run_name(runner.plan(), runner.runs()[i]))) missing.push_back(i);
  }
  return missing;
}

/// sweep.json, sweep.csv, the pictures and the page, of what is there.
void write_documents(const SweepRunner& runner, const SweepFolder& folder) {
  const fs::path& path = folder.path();
  std::vector<SweepRecord> records;
  const SweepGrid& grid = runner.plan().grid;
  for (const SweepRun& it : runner.runs()) {
    const std::string name = sweep_run_name(runner.plan(), it);
    if (auto metrics = folder.metrics(name)) {
      records.push_back({name, grid.datasets[it.dataset], grid.protocols[it.protocol], it.repeat, std::move(*metrics)});
    }
  }
  const std::size_t n_left = runner.runs().size() - records.size();
  const Json document = sweep_document(folder.plan(), records, runner.runs().size());
  write_file(path / "sweep.json", json_text(document, 2) + "\n");
  write_file(path / "sweep.csv", sweep_csv(document));
  std::string written = "sweep.json, sweep.csv";
  if (!records.empty()) {
    const std::vector<RunRow> rows = read_result_folders({path});
    ReportExtras extras;
    extras.title = fmt::format("Sweep of {}", folder.plan()["options"]["model"].get<std::string>());
    for (const auto& [key, value] : folder.plan()["options"].items()) {
      extras.facts.emplace_back(key, value.get<std::string>());
    }
    write_html_report(rows, extras, path / "report.html");
    write_tradeoff(rows, path / "tradeoff.png", path / "tradeoff.svg");
    written += ", report.html, tradeoff.png, tradeoff.svg";
    if (const auto timelines = timelines_of(rows); !timelines.empty()) {
      write_timeline_picture(timelines, path / "timeline.png");
      written += ", timeline.png";
    }
  }
  fmt::print("{}: {} in {}{}\n", path.string(), counted(records.size(), "run"), written,
             n_left == 0 ? "" : fmt::format("; {} of {} missing", n_left, counted(runner.runs().size(), "run")));
}

void work_alone(SweepRunner& runner, const std::vector<std::size_t>& todo, bool prefill_only,
                const SweepFolder& folder) {
  std::int64_t total = 0;
  const SweepRun* before = nullptr;
  for (const std::size_t i : todo) {
    const SweepRun& run = runner.runs()[i];
    // A new experiment begins with a run of the full cache, whether that one is missing or not.
    const bool first = before == nullptr || !run.same_experiment(*before);
    total += runner.tokens(run) * (first && run.press != "no_press" ? 2 : 1);
    before = &run;
  }
  Progress progress(counted(todo.size(), "run"), total);
  for (const std::size_t i : todo) {
    run_and_write(runner, runner.runs()[i], prefill_only, folder, [&](std::int64_t n) { progress.advance(n); });
  }
}

void work_by_mpi(const SweepRunner& runner, const std::vector<std::size_t>& todo, const SweepFolder& folder) {
  Progress progress(fmt::format("{} on {} ranks", counted(todo.size(), "run"), mpi_place().size),
                    static_cast<std::int64_t>(todo.size()));
  hand_out_runs(runner, todo, folder, [&](const SweepRun&) { progress.advance(); });
  folder.remove_leftovers();
}

void print_plan(SweepRunner& runner) {
  const SweepGrid& grid = runner.plan().grid;
  fmt::print("{}: {} x {} x ({} x {} + the full cache) x {}\n", counted(runner.runs().size(), "run"),
             counted(grid.datasets.size(), "data set"), counted(grid.protocols.size(), "protocol"),
             counted(grid.presses.size(), "press"), counted(grid.ratios.size(), "ratio"),
             counted(static_cast<std::size_t>(grid.repeats), "repeat"));
  double tokens = 0;
  for (const SweepRun& it : runner.runs()) {
    fmt::print("  {}\n", sweep_run_name(runner.plan(), it));
    tokens += static_cast<double>(runner.tokens(it));
  }
  const double per_token = runner.measure_seconds_per_token();
  fmt::print(
      "{:.0f} tokens to score; about {:.0f} s on this machine, estimated from {:.3f} ms per token in a short run of "
      "the full cache; up to {} of memory\n",
      tokens, tokens * per_token, 1000 * per_token, format_bytes(runner.memory()));
}

/// "3/16": the fourth of sixteen.
SweepSlice slice_by(const std::string& text, std::size_t n) {
  if (text.empty()) return {0, n};
  std::size_t i = 0;
  std::size_t k = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%zu/%zu%c", &i, &k, &rest) != 2 || i >= k) {  // NOLINT(cert-err34-c)
    fail_usage("--slice: '{}' is not a slice; use 0/16 for the first of 16 slices, 15/16 for the last", text);
  }
  return slice_of(n, i, k);
}

SweepFolder open_folder(const SweepCommand& command, CLI::App& app, SweepRunner& runner, const std::string& path) {
  const Json fingerprint = sweep_fingerprint(runner);
  if (!command.output.empty())
    return SweepFolder::begin(path, {{"options", plan_options(app)}, {"made_with", fingerprint}});
  SweepFolder folder =
      SweepFolder::open(path, command.slice.empty() ? SweepFolder::Access::alone : SweepFolder::Access::slice);
  refuse_changes(folder.plan()["made_with"], fingerprint, path);
  return folder;
}

void warn_of_void_options(const SweepOptions& options, const SweepPlan& plan, const CLI::App& app) {
  std::vector<Protocol> protocols;
  for (const std::string& it : plan.grid.protocols) protocols.push_back(parse_protocol(it, "--protocol"));
  std::vector<NamedPress> presses;
  for (const std::string& it : plan.grid.presses) presses.push_back(parse_press(it, Names::registry));
  warn_of_void_protocol_options(app, protocols);
  warn_of_void_budget_options(app, options.protocol.budget, presses, "--ratios");
  warn_of_void_cache_options(app, {options.compute.cache_dtype});
}

void run(SweepCommand& command, CLI::App& app) {
  const std::string path = folder_of(command);
  if (command.output.empty() && !command.dry_run) {
    refuse_plan_options(app, command.collect.empty() ? "--resume" : "--collect");
    if (!command.plan_file.empty())
      fail_usage("{}: --resume uses the plan in the folder; remove the plan file", command.plan_file);
    apply_plan_options(app, SweepFolder::read_plan(path)["options"]);
  } else if (!command.plan_file.empty()) {
    apply_plan_file(app, command.plan_file);
  }
  const MpiPlace place = mpi_place();
  ComputeOptions& compute = command.options.compute;
  if (place.local_size > 1 && compute.threads == 0) compute.threads = std::max(1, available_cores() / place.local_size);
  compute.apply();
  if (place.rank > 0) set_quiet(true);
  const SweepPlan plan = command.options.plan();
  refuse_same_names(plan);
  // Of a sweep that was begun before, the plan has been told already; there all its options count as given.
  if (place.rank == 0 && (!command.output.empty() || command.dry_run)) warn_of_void_options(command.options, plan, app);
  SweepRunner runner(plan);
  if (command.dry_run) {
    print_plan(runner);
    return;
  }
  if (place.rank > 0) {
    do_runs_for_rank_0(runner, command.options.prefill_only, path);
    return;
  }
  if (command.slurm.wanted) check_slurm_folder(path);
  if (command.slice.empty() && !command.slurm.wanted) check_can_draw(fs::path(path) / "tradeoff.png");
  std::optional<SweepFolder> opened = open_folder(command, app, runner, path);
  if (command.slurm.wanted) {
    opened.reset();  // the tasks may begin at once
    submit_to_slurm(command.slurm, runner.runs().size(), path);
    return;
  }
  const SweepFolder& folder = *opened;
  if (command.collect.empty()) {
    const auto todo = missing_runs(runner, folder, slice_by(command.slice, runner.runs().size()));
    if (place.size > 1) {
      work_by_mpi(runner, todo, folder);
    } else {
      work_alone(runner, todo, command.options.prefill_only, folder);
    }
  }
  // Slices share the folder: the last word is --collect's.
  if (command.slice.empty()) write_documents(runner, folder);
}

}  // namespace

void add_sweep_command(CLI::App& program) {
  auto command = std::make_shared<SweepCommand>();
  CLI::App* app =
      program.add_subcommand("sweep", "Run many presses at many ratios; can be interrupted and resumed at any time");
  app->add_option("plan", command->plan_file, "YAML file with plan options; options on the command line override it");
  app->add_option("-o,--output", command->output, "Folder of a new sweep");
  app->add_option("--resume", command->resume, "Resume the sweep in this folder: make only the missing runs");
  app->add_option("--collect", command->collect, "Summarize the sweep in this folder; makes no runs");
  app->add_flag("--dry-run", command->dry_run, "Print the runs and an estimate of time and memory");
  app->add_option("--slice", command->slice,
                  "With --resume: make only this slice of the runs, for example 0/16 to 15/16");
  command->slurm.add_to(*app);
  command->options.add_to(*app);
  app->footer(
      "Examples:\n"
      "  kvpress sweep -m demo -o sweep\n"
      "  kvpress sweep -m demo --datasets wikitext_ppl --presses knorm,snapkv --ratios 0:0.9:0.1 --repeats 3 -o sweep\n"
      "  kvpress sweep plan.yaml -o sweep\n"
      "  kvpress sweep --resume sweep\n"
      "  mpirun --enable-recovery -n 16 kvpress sweep -m demo -o sweep\n"
      "  kvpress sweep -m demo -o sweep --slurm --slurm-tasks 16; kvpress sweep --collect sweep");
  app->callback([command, app] { run(*command, *app); });
}

}  // namespace kvpress
