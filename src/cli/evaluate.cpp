// kvpress evaluate: data sets and presses by name, a result folder for each run, as kvpress's evaluation writes them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/counted.h"
#include "base/file.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/eval/named_dataset.h"
#include "kvpress/report/documents/outcome_table.h"
#include "press/spec.h"
#include "report/documents/result_folder.h"
#include "report/documents/run_document.h"
#include "report/documents/timeline_document.h"

namespace kvpress {
namespace {

struct EvaluateOptions {
  ComputeOptions compute;
  ProtocolOptions protocol;
  std::string datasets = "wikitext_ppl";
  std::string press_name = "knorm";
  std::string press_sequence;
  double compression_ratio = 0.5;
  TextOptions text;  // all but the data set
  std::int64_t max_tokens = 0;
  bool prefill_only = false;
  bool timeline = false;
  std::string output_dir = "runs";
};

void run_dataset(const EvaluateOptions& options, const PreparedTexts& texts, const std::vector<NamedPress>& presses,
                 const LoadedModel& loaded, const RunSettings& settings) {
  const ProtocolSettings& protocol = settings.protocol;
  Experiment experiment(*loaded.model, texts.texts, settings);
  experiment.warm_up();

  const ExperimentInfo info = experiment_info(loaded, texts, settings, options.prefill_only);

  std::vector<RunSummary> rows;
  // What the others are compared with is shown where nobody asked for it, too.
  if (std::none_of(presses.begin(), presses.end(), [](const NamedPress& it) { return it.is_none(); })) {
    rows.push_back(summary_of_full(experiment.baseline(), info));
  }
  for (const NamedPress& press : presses) {
    const Outcome outcome = experiment.run(press, options.protocol.budget.ratio(options.compression_ratio));
    const RunSummary summary = summary_of(outcome, info);
    Json config = describe_experiment(info);
    config["press"] = outcome.press;
    config["compression_ratio"] = outcome.compression_ratio;
    config["prefill_only"] = options.prefill_only;
    config["weights"] = options.compute.weights;
    config["command"] = command_line();
    const auto folder = write_result_folder(
        options.output_dir,
        result_folder_name(texts.name, options.compute.model, outcome.press, outcome.compression_ratio),
        predictions_csv(outcome.run, experiment.baseline()), describe_run(summary), config, timeline_file(outcome.run));
    log_info(fmt::format("wrote {}", folder.string()));
    rows.push_back(summary);
  }
  fmt::print("\n{}: {}, protocol {}, model {}, {}\n{}", texts.name, counted(info.n_tokens, "token"),
             to_string(protocol.protocol), info.model, info.dtype, outcome_table(rows) + texts_table(rows));
  const std::string sentence = protocol.protocol == Protocol::window ? "" : outcome_sentence(rows);
  if (!sentence.empty()) fmt::print("{}\n", sentence);
  std::fflush(stdout);
}

void run(const EvaluateOptions& options, std::optional<std::int64_t> max_tokens, const CLI::App& command) {
  options.compute.apply();
  check_ratio(options.compression_ratio, "--compression-ratio");
  options.text.check();
  std::vector<NamedPress> presses;
  for (const std::string& it :
       split_presses(options.press_sequence.empty() ? options.press_name : options.press_sequence)) {
    presses.push_back(parse_press(it, Names::registry));
  }
  std::vector<std::string> datasets{options.text.text};
  if (options.text.text.empty()) {
    datasets = split_presses(options.datasets);
    for (const std::string& it : datasets) check_dataset_name(it, "--dataset");
  }
  make_output_folder(options.output_dir);  // what cannot be written fails before anything is computed
  warn_of_void_protocol_options(command, std::array{parse_protocol(options.protocol.protocol, setting("protocol"))});
  warn_of_void_budget_options(command, options.protocol.budget, presses, "--compression-ratio");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  if (!options.press_sequence.empty())
    warn_if_given(command, "--press-name", "--press-sequence says which presses run");
  const OpenedModel opened = open_model(options.compute.model);
  RunSettings settings = options.protocol.settings(options.compute, opened.config);
  settings.timeline = options.timeline;
  const ProtocolSettings& protocol = settings.protocol;
  for (const NamedPress& it : presses) {
    check_settings(protocol, settings.compression.with(it, options.protocol.budget.ratio(options.compression_ratio)));
  }
  const Tokenizer tokenizer = opened.tokenizer();
  for (const NamedPress& it : presses) opened.prepare(it, &tokenizer);
  std::vector<PreparedTexts> prepared;
  std::int64_t longest = 0;
  for (const std::string& it : datasets) {
    TextRequest request = options.text.request();
    request.name = it;
    prepared.push_back(
        prepare_dataset(request, max_tokens, tokenizer, protocol, opened.config, options.text.bos.choice()));
    longest = std::max(longest, longest_cache(protocol, prepared.back().longest()));
  }
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), longest, longest);
  settings.compression.cache_format = loaded.cache_format;
  for (const PreparedTexts& it : prepared) run_dataset(options, it, presses, loaded, settings);
  const bool compresses = std::any_of(presses.begin(), presses.end(), [](const auto& it) { return !it.is_none(); });
  if (protocol.protocol == Protocol::window && compresses) fmt::print("Warning: {}.\n", kWindowCaveat);
}

}  // namespace

void add_evaluate_command(CLI::App& program) {
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command =
      program.add_subcommand("evaluate", "Run presses on data sets and write a result folder for each run");
  options->compute.add_to(*command, "-m,--model");
  CLI::Option* dataset =
      command
          ->add_option("--dataset", options->datasets,
                       "Data sets, separated by commas: wikitext_ppl, pg19_ppl, hf:ORG/NAME, or a path")
          ->capture_default_str();
  add_text_options(options->text, *command, dataset);
  command->add_option("--press-name", options->press_name, "Press; see kvpress presses")->capture_default_str();
  command->add_option("--press-sequence", options->press_sequence,
                      "Several presses, separated by commas, instead of --press-name");
  command
      ->add_option("--compression-ratio", options->compression_ratio,
                   "Compression ratio: share of the tokens to evict, in [0, 1)")
      ->capture_default_str();
  CLI::Option* max_tokens =
      command->add_option("--max-tokens", options->max_tokens,
                          "Truncate each text to this many tokens (default: wikitext_ppl 4096, others 8192)");
  command->add_flag("--prefill-only", options->prefill_only, kPrefillOnlyHelp);
  command->add_flag("--timeline", options->timeline, kTimelineHelp);
  command->add_option("-o,--output-dir,--output", options->output_dir, "Folder for the result folders")
      ->capture_default_str();
  options->protocol.add_to(*command);
  command->footer(
      "Examples:\n"
      "  kvpress evaluate --model demo --dataset wikitext_ppl --press_name knorm --compression_ratio 0.5\n"
      "  kvpress evaluate --model demo --dataset pg19_ppl --press_sequence no_press,knorm,streaming_llm \\\n"
      "    --prefill_only true --output_dir runs");
  command->callback(
      [options, max_tokens, command] { run(*options, given(*max_tokens, options->max_tokens), *command); });
}

}  // namespace kvpress
