// kvpress compare: many presses at several ratios on one text, in one table.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "press/spec.h"
#include "press/suggested.h"
#include "report/documents/comparison_table.h"
#include "report/documents/per_token.h"

namespace kvpress {
namespace {

struct CompareOptions {
  ComputeOptions compute;
  ProtocolOptions protocol;
  TextOptions text;
  std::int64_t max_tokens = 0;
  std::string presses = "all";
  std::vector<double> ratios = {0.25, 0.5, 0.75};
  std::vector<std::string> cache_dtypes;
  std::string against;
  std::string format = "text";
  std::string per_token;
  std::string output;
};

using Writer = std::string (*)(const ComparisonTable&);

Writer writer_of(const std::string& format) {
  if (format == "text") return as_text;
  if (format == "csv") return as_csv;
  if (format == "json") return as_json;
  if (format == "markdown" || format == "md") return as_markdown;
  fail_usage("--format: '{}' is not known; known: text, csv, json, markdown", format);
}

/// Those written; "all" stands for every one that can run on this model, and what it leaves out is told with its
/// reason.
std::vector<NamedPress> chosen_presses(const CompareOptions& options, const OpenedModel& opened,
                                       const RunSettings& settings, const Tokenizer& tokenizer) {
  std::vector<NamedPress> presses;
  std::set<std::string> reasons;  // many compositions lack the same file
  for (const std::string& written : split_presses(options.presses)) {
    if (written != "all") {
      presses.push_back(parse_press(written));
      check_settings(settings.protocol, settings.compression.with(presses.back(), 0));
      opened.prepare(presses.back(), &tokenizer);
      continue;
    }
    for (const std::string& it : suggested_presses()) {
      NamedPress press = parse_press(it);
      try {
        opened.prepare(press, &tokenizer);
      } catch (const Error& error) {
        if (reasons.insert(error.what()).second) log_info(fmt::format("skipped: {}", error.what()));
        continue;
      }
      presses.push_back(std::move(press));
    }
  }
  return presses;
}

/// Of the caches that are compared: the one asked for, or several.
std::vector<CacheFormat> cache_formats(const CompareOptions& options, DType automatic) {
  std::vector<std::string> texts = options.cache_dtypes;
  if (texts.empty()) texts.push_back(options.compute.cache_dtype);
  std::vector<CacheFormat> formats;
  for (const std::string& it : texts) {
    formats.push_back(parse_cache_format(it, automatic, "--cache-dtypes"));
    formats.back().residual = options.compute.cache_residual;
  }
  return formats;
}

void warn_of_void_options(const CompareOptions& options, const CLI::App& command) {
  warn_of_void_protocol_options(command, std::array{parse_protocol(options.protocol.protocol, setting("protocol"))});
  std::vector<NamedPress> presses;
  for (const std::string& it : split_presses(options.presses))
    presses.push_back(parse_press(it == "all" ? "knorm" : it));
  warn_of_void_budget_options(command, options.protocol.budget, presses, "--ratios");
  if (!options.cache_dtypes.empty()) warn_if_given(command, "--cache-dtype", "--cache-dtypes says which are compared");
  warn_of_void_cache_options(
      command, options.cache_dtypes.empty() ? std::vector{options.compute.cache_dtype} : options.cache_dtypes);
  warn_of_void_text_options(command, options.text);
}

void run(const CompareOptions& options, std::optional<std::int64_t> max_tokens, const CLI::App& command) {
  options.compute.apply();
  for (const double ratio : options.ratios) check_ratio(ratio, "--ratios");
  cache_formats(options, DType::f32);
  const Writer write = writer_of(options.format);
  options.text.check();
  parse_protocol(options.protocol.protocol, setting("protocol"));
  for (const std::string& it : split_presses(options.presses)) {
    if (it != "all") parse_press(it);
  }
  warn_of_void_options(options, command);

  const std::vector<std::string> written = split_presses(options.presses);
  const bool names_all = std::find(written.begin(), written.end(), "all") != written.end();
  if (!options.against.empty() && parse_press(options.against).is_none()) {
    fail_usage("--against: no_press is what KL and delta NLL compare with already; name another press");
  }
  if (!options.against.empty() && !names_all &&
      std::find(written.begin(), written.end(), options.against) == written.end()) {
    fail_usage("--against: '{}' is not among --presses: {}", options.against, options.presses);
  }
  if (!options.output.empty()) check_can_write(options.output);
  check_per_token_file(options.per_token, "--per-token");
  const OpenedModel opened = open_model(options.compute.model);
  RunSettings settings = options.protocol.settings(options.compute, opened.config);
  const ProtocolSettings& protocol = settings.protocol;
  if (protocol.protocol == Protocol::window) fail_setting("protocol", "{}", kWindowCaveat);
  const Tokenizer tokenizer = opened.tokenizer();
  const std::vector<NamedPress> presses = chosen_presses(options, opened, settings, tokenizer);
  if (!options.against.empty() &&
      std::none_of(presses.begin(), presses.end(), [&](const auto& it) { return it.text == options.against; })) {
    fail_usage("--against: '{}' is not among the presses that can run on this model; add it to --presses",
               options.against);
  }
  const TextDataset dataset = load_texts(options.text.request(max_tokens));
  const PreparedTexts texts =
      prepare_texts(tokenizer, dataset, max_tokens, protocol, opened.config, 0, options.text.bos.choice());
  const std::int64_t n_cached = longest_cache(protocol, texts.longest());
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), n_cached, n_cached);

  settings.compression.cache_format = loaded.cache_format;
  Experiment experiment(*loaded.model, texts.texts, settings);
  experiment.warm_up();
  const ExperimentInfo info = experiment_info(loaded, texts, settings, false);
  ComparisonTable table;
  table.experiment = info;
  table.full = summary_of_full(experiment.baseline(), info);
  table.against = options.against;
  std::optional<PerToken> per_token;
  if (!options.per_token.empty()) per_token.emplace(experiment.texts(), experiment.baseline());
  const auto measure = [&](const NamedPress& press, double ratio, const CacheFormat& format) {
    const Outcome outcome = experiment.run(press, ratio, format);
    if (per_token) per_token->add(outcome);
    table.runs.push_back(summary_of(outcome, info));
  };
  for (const CacheFormat& format : cache_formats(options, loaded.model->dtype())) {
    if (format.bits > 0 || format.type != loaded.cache_format.type) {  // else it is the baseline
      measure({"no_press", nullptr}, 0.0, format);
    }
    for (const NamedPress& press : presses) {
      if (press.is_none()) continue;
      for (const double ratio : options.protocol.budget.ratios(options.ratios)) {
        measure(press, ratio, format);
      }
    }
  }
  table.sort();
  if (per_token) per_token->write(options.per_token);
  const std::string text = write(table);
  if (options.output.empty()) {
    fmt::print("{}", text);
    return;
  }
  write_file(options.output, text);
  if (write != as_text) fmt::print("{}", as_text(table));
}

}  // namespace

void add_compare_command(CLI::App& program) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = program.add_subcommand("compare", "Compare presses at several ratios in one table, sorted by KL");
  options->compute.add_to(*command, "-m,--model");
  options->text.add_to(*command, "--dataset");
  CLI::Option* max_tokens = command->add_option("--max-tokens", options->max_tokens, kMaxTokensHelp);
  command
      ->add_option("--presses", options->presses,
                   "Presses, separated by commas; all: every press that can run on this model")
      ->capture_default_str();
  command
      ->add_option("--ratios", options->ratios,
                   "Compression ratios (share of the tokens to evict), separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--cache-dtypes", options->cache_dtypes,
                   "Instead of --cache-dtype: cache types to compare, separated by commas")
      ->delimiter(',');
  command->add_option("--against", options->against,
                      "Press that the others are compared with pair by pair (default: the best of each share)");
  command->add_option("--per-token", options->per_token,
                      "Write the loss and KL of every token under every run to this file: .npz (numpy) or .csv");
  command->add_option("--format", options->format, "Format of the table: text, csv, json or markdown")
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "Write the table to this file");
  options->protocol.add_to(*command);
  command->footer(
      "Examples:\n"
      "  kvpress compare -m demo --dataset wikitext --max-samples 64\n"
      "  kvpress compare -m SmolLM2-135M-Instruct.Q4_1.gguf --dataset pg19 --max-tokens 4096 \\\n"
      "    --presses 'snapkv,adakv(snapkv),expected_attention' --ratios 0.5,0.75,0.9 --format markdown -o table.md\n"
      "  kvpress compare -m demo --presses snapkv,knorm --ratios 0.5,0.75 --cache-dtypes auto,int8,int4");
  command->callback(
      [options, max_tokens, command] { run(*options, given(*max_tokens, options->max_tokens), *command); });
}

}  // namespace kvpress
