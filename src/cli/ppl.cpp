// kvpress ppl: one press against the full cache on one text, as one JSON document.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/report/documents/outcome_table.h"
#include "report/documents/per_token.h"
#include "report/documents/run_document.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/timeline_picture.h"

namespace kvpress {
namespace {

struct PplOptions {
  ComputeOptions compute;
  ProtocolOptions protocol;
  TextOptions text;
  std::int64_t max_tokens = 0;
  std::string press = "knorm";
  double compression_ratio = 0.5;
  bool prefill_only = false;
  bool timeline = false;
  std::string timeline_file;
  std::string per_token;
  std::string output;
};

/// Refuses what could not be written in the end.
void check_timeline_file(const std::filesystem::path& path) {
  if (path.empty()) return;
  if (path.extension() != ".json" && path.extension() != ".png" && path.extension() != ".svg") {
    fail_usage("--timeline-file: '{}' has an unknown extension; use .json, .png or .svg", path.string());
  }
  check_can_write(path);
  if (path.extension() != ".json") check_can_draw(path);
}

Json timelines(const RunResult& baseline, const Outcome& outcome) {
  return {{"baseline", timeline_document(baseline.timeline)}, {"compressed", timeline_document(outcome.run.timeline)}};
}

void write_timelines(const RunResult& baseline, const Outcome& outcome, const std::filesystem::path& path) {
  if (path.extension() == ".json") {
    write_file(path, json_text(timelines(baseline, outcome)) + "\n");
  } else {
    const std::string name = fmt::format("{} at {:.2f}", outcome.press, outcome.compression_ratio);
    write_timeline_picture(
        {{"no_press (full cache)", memory_points(baseline.timeline)}, {name, memory_points(outcome.run.timeline)}},
        path);
  }
}

void warn_of_void_options(const PplOptions& options, const CLI::App& command, const NamedPress& press) {
  warn_of_void_protocol_options(command, std::array{parse_protocol(options.protocol.protocol, setting("protocol"))});
  warn_of_void_budget_options(command, options.protocol.budget, {&press, 1}, "--compression-ratio");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  warn_of_void_text_options(command, options.text);
}

void run(const PplOptions& options, std::optional<std::int64_t> max_tokens, const CLI::App& command) {
  options.compute.apply();
  check_ratio(options.compression_ratio, "--compression-ratio");
  const NamedPress press = parse_press(options.press);
  options.text.check();
  warn_of_void_options(options, command, press);

  if (!options.output.empty()) check_can_write(options.output);
  check_timeline_file(options.timeline_file);
  check_per_token_file(options.per_token, "--per-token");
  const OpenedModel opened = open_model(options.compute.model);
  RunSettings settings = options.protocol.settings(options.compute, opened.config);
  settings.timeline = options.timeline || !options.timeline_file.empty();
  const double ratio = options.protocol.budget.ratio(options.compression_ratio);
  const ProtocolSettings& protocol = settings.protocol;
  const TextDataset dataset = load_texts(options.text.request(max_tokens));
  const Tokenizer tokenizer = opened.tokenizer();
  check_settings(protocol, settings.compression.with(press, ratio));
  opened.prepare(press, &tokenizer);
  const PreparedTexts texts =
      prepare_texts(tokenizer, dataset, max_tokens, protocol, opened.config, 0, options.text.bos.choice());
  const std::int64_t n_cached = longest_cache(protocol, texts.longest());
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), n_cached, n_cached);

  settings.compression.cache_format = loaded.cache_format;
  Experiment experiment(*loaded.model, texts.texts, settings);
  if (protocol.protocol == Protocol::window && !press.is_none()) log_warning_once(std::string(kWindowCaveat));
  experiment.warm_up();

  const ExperimentInfo info = experiment_info(loaded, texts, settings, options.prefill_only);

  const Outcome outcome = experiment.run(press, ratio);
  Json document = describe_experiment(info);
  const std::vector<RunSummary> runs{summary_of_full(experiment.baseline(), info), summary_of(outcome, info)};
  document["baseline"] = describe_run(runs.front());
  document["compressed"] = describe_run(runs.back());
  if (!options.per_token.empty()) {
    PerToken per_token(experiment.texts(), experiment.baseline());
    per_token.add(outcome);
    per_token.write(options.per_token);
  }
  if (options.timeline) document["timeline"] = timelines(experiment.baseline(), outcome);
  if (!options.timeline_file.empty()) write_timelines(experiment.baseline(), outcome, options.timeline_file);
  const std::string text = json_text(document, 2) + "\n";
  const std::string table = outcome_table(runs) + texts_table(runs);
  if (options.output.empty()) {
    fmt::print("{}", text);
    if (!is_quiet()) fmt::print(stderr, "{}", table);
  } else {
    write_file(options.output, text);
    fmt::print("{}", table);
  }
}

}  // namespace

void add_ppl_command(CLI::App& program) {
  auto options = std::make_shared<PplOptions>();
  CLI::App* command =
      program.add_subcommand("ppl", "Measure perplexity, KL, time and memory of one press relative to the full cache");
  options->compute.add_to(*command, "-m,--model-name,--model");
  options->text.add_to(*command, "--dataset-name,--dataset");
  CLI::Option* max_tokens = command->add_option("--max-tokens", options->max_tokens, kMaxTokensHelp);
  command->add_option("--press,--press-name", options->press, "Press; see kvpress presses")->capture_default_str();
  command
      ->add_option("--compression-ratio", options->compression_ratio,
                   "Compression ratio: share of the tokens to evict, in [0, 1)")
      ->capture_default_str();
  options->protocol.add_to(*command);
  command->add_flag("--prefill-only", options->prefill_only, kPrefillOnlyHelp);
  command->add_flag("--timeline", options->timeline, kTimelineHelp);
  command->add_option("--timeline-file", options->timeline_file,
                      "Write the memory along both runs to this file: numbers (.json) or a picture (.png, .svg)");
  command->add_option("--per-token", options->per_token,
                      "Write the loss and KL of every token to this file: .npz (numpy) or .csv");
  command->add_option("-o,--output", options->output, "Write the JSON document to this file, and print a table");
  command->footer(
      "Examples:\n"
      "  kvpress ppl -m demo --press knorm --compression-ratio 0.5\n"
      "  kvpress ppl --model-name EleutherAI/pythia-70m --dataset-name wikitext --dataset-config wikitext-103-v1 \\\n"
      "    --split test --max-samples 64 --max-length 1024 --compression-ratio 0.5 --output r.json\n"
      "  kvpress ppl -m demo --text book.txt.gz --protocol continuation --context-tokens 1024 --press snapkv\n"
      "  kvpress ppl -m demo --dataset hf:emozilla/pg19 --max-samples 10 --max-tokens 4096 --press snapkv -o "
      "books.json");
  command->callback(
      [options, max_tokens, command] { run(*options, given(*max_tokens, options->max_tokens), *command); });
}

}  // namespace kvpress
