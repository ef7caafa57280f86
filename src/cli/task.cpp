// kvpress task: what a compressed cache still knows. Questions about a context, asked over what a press left of it.
#include "tasks/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "kvpress/formats/text_dataset.h"
#include "press/spec.h"
#include "report/documents/result_folder.h"
#include "report/documents/run_document.h"
#include "report/documents/task_metrics.h"
#include "report/documents/task_report.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/task_heat_map.h"
#include "tasks/task_rows.h"
#include "tasks/task_run.h"
#include "tasks/task_score.h"

namespace kvpress {
namespace {

struct TaskOptions {
  ComputeOptions compute;
  std::string task;
  TaskGrid grid;
  std::vector<std::int64_t> lengths = {512, 1024, 2048};
  std::string depths = "0:1:0.25";
  std::vector<std::int64_t> hops = {1, 2, 4};
  std::string text = "pg19";
  std::string presses = "snapkv";
  std::vector<double> ratios = {0.5};
  std::string chat = "auto";
  BudgetOptions budget;
  std::int64_t max_new_tokens = 0;
  std::int64_t max_context_length = 0;
  std::int64_t max_samples = 0;
  bool query_aware = false;
  std::string scorer;
  std::string config;
  std::string split;
  std::string output;
};

/// The tasks that are made here.
constexpr std::string_view kMade[] = {"needle", "kv_recall", "variable_tracking"};

bool is_made(const std::string& task) { return std::find(std::begin(kMade), std::end(kMade), task) != std::end(kMade); }

double parse_number(const std::string& text, const char* option, const std::string& whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail_usage("{}: '{}' is not a list of numbers; write 0,0.5,1 or 0:1:0.25 (first:last:step)", option, whole);
  }
  return value;
}

/// "0,0.5,1", or "0:1:0.25": first, last and step.
std::vector<double> parse_depths(const std::string& text) {
  constexpr const char* kOption = "--depths";
  std::vector<double> values;
  if (text.empty()) return values;
  const bool range = text.find(':') != std::string::npos;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(range ? ':' : ',', at), text.size());
    values.push_back(parse_number(text.substr(at, end - at), kOption, text));
    at = end + 1;
  }
  if (!range) return values;
  if (values.size() != 3 || !(values[2] > 0) || values[1] < values[0]) {
    fail_usage("{}: '{}' is not a range; write first:last:step, such as 0:1:0.25", kOption, text);
  }
  const double first = values[0];
  const double last = values[1];
  const double step = values[2];
  if ((last - first) / step > 1000) fail_usage("{}: '{}' has more than 1000 values; use a larger step", kOption, text);
  values.clear();
  // A last value that rounding puts a hair beyond the end still counts.
  for (int i = 0; first + i * step <= last + 1e-9; ++i) values.push_back(std::min(last, first + i * step));
  return values;
}

/// Scorers of kvpress's data sets.
std::vector<std::string_view> dataset_scorers() {
  std::vector<std::string_view> names;
  for (const std::string_view it : task_scorer_names()) {
    if (!is_made(std::string(it))) names.push_back(it);
  }
  return names;
}

bool is_scorer(std::string_view name) {
  const auto scorers = dataset_scorers();
  return std::find(scorers.begin(), scorers.end(), name) != scorers.end();
}

bool is_rows_file(const std::string& task) { return task.find(".jsonl") != std::string::npos; }

constexpr std::string_view kHub = "hf:";

/// The data set of the hub that a task names, by its id or as kvpress's evaluation calls it; empty for a file.
std::string hub_dataset(const std::string& task) {
  if (is_rows_file(task)) return "";
  return task.starts_with(kHub) ? task.substr(kHub.size()) : hub_dataset_of(task);
}

/// What the answers are scored by: the task made here, or what was asked for, or what the data set is called.
std::string scorer_of(const TaskOptions& options) {
  if (is_made(options.task)) return options.task;
  if (!options.scorer.empty()) return options.scorer;
  if (is_scorer(options.task)) return options.task;
  const std::string dataset = hub_dataset(options.task);
  if (!dataset.empty()) {
    for (const std::string_view it : dataset_scorers()) {
      if (hub_dataset_of(it) == dataset) return std::string(it);
    }
  }
  const std::string name = std::filesystem::path(options.task).filename().string();
  const std::string stem = name.substr(0, name.find(".jsonl"));
  return is_scorer(stem) ? stem : "ruler";
}

/// The rows of a file or of a data set of the hub, and what they are to be called.
HubRows rows_of(const TaskOptions& options, std::int64_t max_rows) {
  const std::string dataset = hub_dataset(options.task);
  if (!dataset.empty()) return read_hub_rows(dataset, options.config, options.split, max_rows);
  return {options.task, read_row_lines(options.task, max_rows)};
}

TaskSet make_task(const TaskOptions& options, const Tokenizer& tokenizer, const CountTokens& count) {
  const TaskGrid& grid = options.grid;
  if (options.task == "kv_recall") return make_kv_recall_task(grid, count);
  if (!is_made(options.task)) {
    const std::string scorer = scorer_of(options);
    const bool only_first = scorer == "needle_in_haystack";
    const HubRows rows = rows_of(options, only_first ? 1 : options.max_samples);
    const TaskSet set = read_task_rows(rows.rows, scorer, rows.name);
    return only_first ? insert_needle(set.samples.front(), grid, tokenizer) : set;
  }
  std::string text;
  for (const std::string& it : load_texts({.name = options.text}).texts) text += it + "\n\n";
  return options.task == "needle" ? make_needle_task(grid, text, count)
                                  : make_variable_tracking_task(grid, text, count);
}

struct Chosen {
  NamedPress press;
  double ratio = 0;
};

/// Every press at every ratio; those without a ratio once.
std::vector<Chosen> chosen_runs(const TaskOptions& options) {
  std::vector<Chosen> runs;
  const std::vector<double> ratios = options.budget.ratios(options.ratios);
  for (const std::string& written : split_presses(options.presses)) {
    const NamedPress press = parse_press(written);
    if (press.is_none()) continue;  // the full cache is always there
    for (const double ratio : ratios) {
      runs.push_back({press, ratio});
      if (!press.uses_ratio()) break;
    }
  }
  return runs;
}

/// The tokens of the longest context with its question and answer. Throws UsageError when they exceed what the model
/// was trained for; contexts of data sets are cut instead, as in kvpress, which is told.
std::int64_t fit_lengths(const TaskSet& set, const Tokenizer& tokenizer, const ModelConfig& config,
                         TaskSettings& settings) {
  std::int64_t n_context = 0;
  std::int64_t n_rest = 0;
  std::vector<std::int64_t> contexts;
  for (const TaskSample& sample : set.samples) {
    const TaskTokens tokens = tokenize_sample(tokenizer, sample, settings);
    contexts.push_back(static_cast<std::int64_t>(tokens.context.size()));
    n_context = std::max(n_context, contexts.back());
    n_rest = std::max(n_rest, static_cast<std::int64_t>(tokens.question.size()) + sample.max_new_tokens);
  }
  if (n_context + n_rest <= config.max_positions) return n_context + n_rest;
  if (!set.column_axis.empty()) {
    fail_usage(
        "--lengths: a context of {} tokens with question and answer has {} tokens, more than the trained context of "
        "{}; use a shorter length",
        n_context, n_context + n_rest, config.max_positions);
  }
  const std::int64_t most = config.max_positions - n_rest;
  if (most < 1) {
    fail_usage(
        "--max-new-tokens: question and answer have {} tokens and leave no room in the trained context of {}; use "
        "fewer",
        n_rest, config.max_positions);
  }
  log_warning(fmt::format("{} of {} contexts are truncated to their first {} tokens: the trained context is {}",
                          std::count_if(contexts.begin(), contexts.end(), [&](std::int64_t it) { return it > most; }),
                          contexts.size(), most, config.max_positions));
  settings.max_context_length = most;
  return config.max_positions;
}

Json about_run(const TaskOptions& options, const TaskSet& set, const TaskSettings& settings,
               const LoadedModel& loaded) {
  Json about = {{"model", options.compute.model}, {"task", set.name}};
  if (is_made(options.task)) {
    about["lengths"] = options.grid.lengths;
    if (options.task == "variable_tracking") {
      about["hops"] = options.grid.hops;
      about["chains"] = options.grid.chains;
    } else {
      about["depths"] = options.grid.depths;
    }
    about["samples"] = options.grid.samples;
    if (options.task == "needle") about["needles"] = options.grid.needles;
    if (options.task != "kv_recall") about["text"] = options.text;
  }
  if (!is_made(options.task)) {
    const std::string dataset = hub_dataset(options.task);
    about["rows"] = dataset.empty() ? options.task : std::string(kHub) + dataset;
    if (!options.config.empty()) about["config"] = options.config;
    if (!options.split.empty()) about["split"] = options.split;
  }
  if (settings.max_context_length > 0) about["max_context_length"] = settings.max_context_length;
  about["n_questions"] = set.samples.size();
  about["chat_format"] = settings.chat.name;
  about["query_aware"] = settings.query_aware;
  describe_budget(about, settings.compression);
  about["dtype"] = loaded.model->numbers();
  about["cache_dtype"] = to_string(loaded.cache_format);
  about["seed"] = settings.compression.seed;
  about["threads"] = threads();
  about["version"] = version();
  return about;
}

TaskOutcome run_once(const LoadedModel& loaded, const Tokenizer& tokenizer, const TaskReport& report,
                     const NamedPress& press, double ratio, TaskSettings settings, Progress& progress) {
  settings.compression = settings.compression.with(press, ratio);
  TaskOutcome outcome;
  outcome.press = press.text;
  outcome.compression_ratio = settings.compression.budget.ratio;
  outcome.run = answer_samples(*loaded.model, tokenizer, report.set.samples, settings, [&] { progress.advance(); });
  for (std::size_t i = 0; i < report.set.samples.size(); ++i) {
    outcome.scores.push_back(report.scorer.score(report.set.samples[i], outcome.run.answers[i].text));
  }
  const std::vector<double>& full = press.is_none() ? outcome.scores : report.full.scores;
  outcome.cells = task_cells(report.set.samples, outcome.scores, full, report.scorer.floor);
  // Without a ratio of its own a run's is what went.
  if (!press.is_none() && (!press.uses_ratio() || settings.compression.has_fixed_budget())) {
    outcome.compression_ratio =
        std::max(0.0, 1 - outcome.run.mean_cache_tokens() / report.full.run.mean_cache_tokens());
  }
  return outcome;
}

Json metrics_of(const TaskReport& report, const TaskOutcome& outcome) {
  std::vector<std::string> predicted;
  for (const TaskAnswer& it : outcome.run.answers) predicted.push_back(it.text);
  return task_metrics(std::string(report.scorer.name), report.set.samples, predicted, outcome.scores);
}

void write_results(const TaskOptions& options, const TaskReport& report) {
  const std::filesystem::path folder = options.output;
  const auto write = [&](const TaskOutcome& outcome) {
    const auto written = write_result_folder(
        folder, result_folder_name(report.set.name, options.compute.model, outcome.press, outcome.compression_ratio),
        task_predictions_csv(report, outcome), metrics_of(report, outcome), task_config(report, outcome));
    log_info(fmt::format("wrote {}", written.string()));
  };
  write(report.full);
  for (const TaskOutcome& it : report.outcomes) write(it);
  write_file(folder / (report.set.name + ".json"), task_json(report));
  write_file(folder / (report.set.name + ".csv"), task_csv(report));
  if (!has_heat_map(report)) return;
  write_task_heat_map(report, folder / (report.set.name + ".png"));
  log_info(fmt::format("wrote {}", (folder / (report.set.name + ".png")).string()));
}

void check(const TaskOptions& options) {
  for (const double it : options.ratios) check_ratio(it, "--ratios");
  if (options.ratios.empty()) fail_usage("--ratios: is empty; give compression ratios such as 0.5,0.75");
  if (options.max_new_tokens < 0)
    fail_usage("--max-new-tokens: {} is negative; 0 means the number of the task", options.max_new_tokens);
  if (options.max_context_length < 0)
    fail_usage("--max-context-length: {} is negative; 0 means the trained context", options.max_context_length);
  if (options.max_samples < 0) fail_usage("--max-samples: {} is negative; 0 means all", options.max_samples);
  const bool from_hub = !hub_dataset(options.task).empty();
  if (!from_hub && !(options.config.empty() && options.split.empty())) {
    fail_usage("{}: applies only to a data set of the hub; remove it", options.config.empty() ? "--split" : "--config");
  }
  if (is_made(options.task)) {
    if (!options.scorer.empty()) fail_usage("--scorer: task {} has its own scorer; remove it", options.task);
    return;
  }
  if (!from_hub && !is_rows_file(options.task)) {
    fail_usage("task '{}' is not known; known: {}, {}, hf:ORG/NAME, or a .jsonl file with a --scorer", options.task,
               fmt::join(kMade, ", "), fmt::join(dataset_scorers(), ", "));
  }
  task_scorer(scorer_of(options));
}

/// Of the options that some tasks have and others have not.
void warn_of_void_options(const TaskOptions& options, const CLI::App& command) {
  const auto only = [&](bool applies, const char* option, const std::string& whose) {
    if (!applies) warn_if_given(command, option, fmt::format("it belongs to {}, not to {}", whose, options.task));
  };
  const bool made = is_made(options.task);
  const bool needle_rows = !made && scorer_of(options) == "needle_in_haystack";
  const bool tracking = options.task == "variable_tracking";
  only(tracking, "--hops", "task variable_tracking");
  only(tracking, "--chains", "task variable_tracking");
  only(options.task == "needle", "--needles", "task needle");
  only((made && !tracking) || needle_rows, "--depths", "tasks that put the answer somewhere");
  only(made && options.task != "kv_recall", "--text", "tasks with a haystack");
  only(made || needle_rows, "--lengths", "tasks that are made here");
  only(made, "--samples", "tasks that are made here");
  only(!made, "--max-samples", "rows of a data set");
}

void run(TaskOptions& options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  options.grid.lengths = options.lengths;
  options.grid.depths = parse_depths(options.depths);
  options.grid.hops = options.hops;
  options.grid.seed = options.compute.seed;
  check_grid(options.grid);
  const std::vector<Chosen> runs = chosen_runs(options);
  warn_of_void_options(options, command);
  std::vector<NamedPress> presses;
  for (const Chosen& it : runs) presses.push_back(it.press);
  warn_of_void_budget_options(command, options.budget, presses, "--ratios");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  if (!options.output.empty()) {
    // Before hours of work: the picture needs a program that may be missing.
    if (is_made(options.task)) check_can_draw(std::filesystem::path(options.output) / "task.png");
    make_output_folder(options.output);
  }

  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  for (const Chosen& it : runs) opened.prepare(it.press, &tokenizer);
  TaskSettings settings;
  settings.chat = chat_format(*opened.files, options.chat, "--chat-format");
  settings.compression = options.budget.settings(options.compute, opened.config);
  settings.query_aware = options.query_aware;
  settings.max_context_length = options.max_context_length;

  for (const std::int64_t it : options.grid.lengths) {
    if (it >= opened.config.max_positions && is_made(options.task)) {
      fail_usage(
          "--lengths: {} leaves no room for a question in the trained context of {} tokens; use a shorter length", it,
          opened.config.max_positions);
    }
  }

  TaskReport report;
  report.scorer = task_scorer(scorer_of(options));
  report.set = make_task(options, tokenizer, [&](std::string_view context) {
    return static_cast<std::int64_t>(tokenizer.encode(settings.chat.begin(context)).size());
  });
  for (TaskSample& it : report.set.samples) {
    if (options.max_new_tokens > 0) it.max_new_tokens = options.max_new_tokens;
  }
  const std::int64_t longest = fit_lengths(report.set, tokenizer, opened.config, settings);
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), longest, longest);
  settings.compression.cache_format = loaded.cache_format;
  report.about = about_run(options, report.set, settings, loaded);

  const NamedPress none = parse_press("no_press");
  TaskSettings warm_up = settings;
  warm_up.compression = settings.compression.without_press();
  // Once unmeasured: products are compiled and pages touched before anything is timed.
  answer_samples(*loaded.model, tokenizer, {report.set.samples.front()}, warm_up);
  {
    const auto n = static_cast<std::int64_t>(report.set.samples.size() * (runs.size() + 1));
    Progress progress(report.set.name, n);
    report.full = run_once(loaded, tokenizer, report, none, 0, settings, progress);
    for (const Chosen& it : runs) {
      report.outcomes.push_back(run_once(loaded, tokenizer, report, it.press, it.ratio, settings, progress));
    }
  }
  if (!options.output.empty()) write_results(options, report);
  fmt::print("{}", task_text(report));
}

}  // namespace

void add_task_command(CLI::App& program) {
  auto options = std::make_shared<TaskOptions>();
  CLI::App* command = program.add_subcommand("task", "Ask questions about a compressed context, and score the answers");
  command
      ->add_option("task", options->task,
                   "Task: needle, kv_recall, variable_tracking, or rows of a data set: ruler, longbench, ..., "
                   "hf:ORG/NAME, or a .jsonl")
      ->required();
  options->compute.add_to(*command, "-m,--model");
  command->add_option("--lengths", options->lengths, "Context lengths in tokens, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--depths", options->depths, "Positions of the answer in the context: 0,0.5,1 or first:last:step")
      ->capture_default_str();
  command->add_option("--samples", options->grid.samples, "Questions per cell")->capture_default_str();
  command->add_option("--needles", options->grid.needles, "needle: number of hidden facts; the question is about one")
      ->capture_default_str();
  command->add_option("--hops", options->hops, "variable_tracking: assignments from the first variable to the last")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--chains", options->grid.chains, "variable_tracking: number of chains; the question is about one")
      ->capture_default_str();
  command->add_option("--text", options->text, "Haystack: pg19, wikitext, or a .jsonl or .txt file")
      ->capture_default_str();
  command->add_option("--presses", options->presses, "Presses, separated by commas; see kvpress presses")
      ->capture_default_str();
  command
      ->add_option("--ratios", options->ratios,
                   "Compression ratios (share of the context to evict), separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  options->budget.add_to(*command, "Compress again after this many tokens of the answer");
  command->add_option("--max-new-tokens", options->max_new_tokens,
                      "Maximum number of tokens of an answer; 0: that of the task");
  command->add_option("--scorer", options->scorer,
                      "Scorer of the rows: " + fmt::format("{}", fmt::join(dataset_scorers(), ", ")));
  command->add_option("--dataset-config,--config", options->config,
                      "Configuration of a data set of the hub, such as 4096");
  command->add_option("--split", options->split, "Split of a data set of the hub, such as test");
  command->add_option("--max-samples", options->max_samples, "Use only this many rows of a data set; 0: all")
      ->capture_default_str();
  command->add_option("--max-context-length", options->max_context_length,
                      "Truncate contexts to this many tokens; 0: the trained context");
  command->add_flag("--query-aware", options->query_aware,
                    "Make the question part of the context, so that the press sees it");
  command
      ->add_option("--chat-format", options->chat,
                   "Chat format: auto (the model's chat template), plain, chatml, llama3")
      ->capture_default_str();
  command->add_option("-o,--output", options->output,
                      "Folder for predictions and metrics of each run, table and picture");
  command->footer(
      "Examples:\n"
      "  kvpress task needle -m SmolLM2-135M-Instruct.Q4_1.gguf --lengths 512,1024 --depths 0:1:0.25 \\\n"
      "    --presses snapkv,streaming_llm --ratios 0.5,0.75 -o runs\n"
      "  kvpress task kv_recall -m model.gguf --lengths 512 --presses 'kvzip,adakv(snapkv)' --query-aware\n"
      "  kvpress task variable_tracking -m model.gguf --hops 1,2,4 --chains 2\n"
      "  kvpress task ruler --config 4096 --max-samples 50 -m model.gguf --presses snapkv --ratios 0.5 -o runs\n"
      "  kvpress task rows.jsonl --scorer ruler -m model.gguf --presses snapkv --ratios 0.5 -o runs");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
