// kvpress breakeven: from which answer on a compressed cache saves time, and at what price in quality.
#include "eval/breakeven.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/text_input.h"
#include "press/spec.h"
#include "report/documents/breakeven_document.h"
#include "report/pictures/breakeven_picture.h"
#include "report/pictures/gnuplot.h"

namespace kvpress {
namespace {

struct BreakEvenOptions {
  ComputeOptions compute;
  TextOptions text;
  std::string presses = "expected_attention";
  std::vector<double> ratios = {0.25, 0.5, 0.75, 0.9};
  BudgetOptions budget;
  std::vector<std::int64_t> contexts;
  std::vector<std::int64_t> answers = {100, 1000, 10000};
  std::int64_t score_tokens = 0;
  std::int64_t decode_tokens = 128;
  int repeats = 3;
  double tolerance = 0.05;
  std::string output;
};

/// Scored where nothing else was asked for.
constexpr std::int64_t kScoreTokens = 1024;
/// Fewer give no interval: it comes from blocks of 64 tokens.
constexpr std::int64_t kLeastScored = 128;

void check(const BreakEvenOptions& options) {
  const auto at_least_one = [](std::int64_t value, const char* option) {
    if (value < 1) fail_usage("{}: {} is too small; at least 1 is needed", option, value);
  };
  for (const double it : options.ratios) {
    check_ratio(it, "--ratios");
    if (it == 0) fail_usage("--ratios: 0 is the full cache, which is always measured; remove it");
  }
  if (options.ratios.empty()) fail_usage("--ratios: is empty; give compression ratios such as 0.5,0.75");
  for (const std::int64_t it : options.contexts) at_least_one(it, "--context-tokens");
  for (const std::int64_t it : options.answers) {
    at_least_one(it, "--answers");
    if (it > kLongestAnswer) fail_usage("--answers: {} is too large; at most {} is allowed", it, kLongestAnswer);
  }
  if (options.answers.empty()) fail_usage("--answers: is empty; give lengths in tokens, such as 100,1000");
  if (options.score_tokens < 0)
    fail_usage("--score-tokens: {} is negative; give a number of tokens, or 0 for the default", options.score_tokens);
  if (options.decode_tokens < 2)
    fail_usage("--decode-tokens: {} is too small; at least 2 are needed", options.decode_tokens);
  at_least_one(options.repeats, "--repeats");
  if (!(options.tolerance > 0)) fail_usage("--tolerance: {} is not above 0; give nats per token", options.tolerance);
  options.text.check();
}

std::vector<NamedPress> parsed_presses(const std::string& text) {
  std::vector<NamedPress> presses;
  for (const std::string& it : split_presses(text)) {
    NamedPress press = parse_press(it);
    if (press.is_none()) fail_usage("--presses: no_press is always measured; remove it");
    if (press.decoding) {
      fail_usage("--presses: {} compresses during decode; breakeven needs presses that compress the context once", it);
    }
    presses.push_back(std::move(press));
  }
  return presses;
}

/// How many tokens to score after a context.
std::int64_t scored_after(const BreakEvenOptions& options, std::int64_t context, std::int64_t trained) {
  if (options.score_tokens > 0) return options.score_tokens;
  if (context >= trained) {
    fail_usage(
        "--context-tokens: {} leaves nothing to score within the trained context of {} tokens; use fewer, or set "
        "--score-tokens to score beyond it",
        context, trained);
  }
  return std::min(kScoreTokens, trained - context);
}

struct Study {
  const BreakEvenOptions& options;
  const LoadedModel& loaded;
  const CompressionSettings& compression;  // without a press yet
  const std::vector<NamedPress>& presses;
  const std::vector<TokenizedText>& texts;  // each long enough for the longest context

  const std::vector<double>& ratios;

  std::size_t n_runs() const { return presses.size() * ratios.size(); }
  const NamedPress& press_of(std::size_t run) const { return presses[run / ratios.size()]; }
  double ratio_of(std::size_t run) const { return ratios[run % ratios.size()]; }

  /// Repeats one after another, and in each all runs and the full cache's in a random order: what the machine does
  /// beside them must not fall on one of them.
  void measure_times(BreakEvenContext& context) const {
    const std::span<const std::int32_t> ids(texts.front().ids.data(), static_cast<std::size_t>(context.n_context));
    const CompressionSettings no_press = compression.without_press();
    const auto time = [&](const CompressionSettings& settings, std::int64_t n, AnswerTimes& times) {
      try {
        time_answer(*loaded.model, ids, settings, n, times);
      } catch (const NotFinite& error) {
        throw texts.front().located(error);
      }
    };
    AnswerTimes warm_up;
    time(no_press, 4, warm_up);

    std::vector<std::size_t> order(n_runs() + 1);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::mt19937_64 random(options.compute.seed);
    Progress progress(fmt::format("timing at {}", counted(context.n_context, "token")),
                      static_cast<std::int64_t>(order.size()) * options.repeats);
    for (int repeat = 0; repeat < options.repeats; ++repeat) {
      std::shuffle(order.begin(), order.end(), random);
      for (const std::size_t run : order) {
        const bool full = run == n_runs();
        time(full ? no_press : compression.with(press_of(run), ratio_of(run)), options.decode_tokens,
             full ? context.full : context.runs[run].times);
        progress.advance();
      }
    }
  }

  void measure_quality(BreakEvenContext& context) const {
    ProtocolSettings protocol;
    protocol.protocol = Protocol::continuation;
    protocol.context_tokens = context.n_context;
    std::vector<TokenizedText> cut = texts;
    for (TokenizedText& it : cut) {
      const auto n = std::min(it.ids.size(), static_cast<std::size_t>(context.n_context + context.n_scored));
      it.ids.resize(n);
      it.n_bytes.resize(n);
    }
    Experiment experiment(*loaded.model, std::move(cut), {protocol, compression});
    context.full_perplexity = experiment.baseline().perplexity();
    context.n_scored = static_cast<std::int64_t>(experiment.baseline().nll.size());
    for (std::size_t run = 0; run < n_runs(); ++run) {
      const Outcome outcome = experiment.run(press_of(run), ratio_of(run));
      context.runs[run].compression_ratio = outcome.compression_ratio;
      context.runs[run].evicted_share = outcome.run.evicted_share();
      context.runs[run].perplexity = outcome.run.perplexity();
      context.runs[run].quality = outcome.comparison;
    }
  }

  BreakEvenContext measure(std::int64_t n_context, std::int64_t n_scored) const {
    BreakEvenContext context;
    context.n_context = n_context;
    context.n_scored = n_scored;
    context.runs.resize(n_runs());
    for (std::size_t run = 0; run < n_runs(); ++run) {
      context.runs[run].press = press_of(run).text;
    }
    measure_quality(context);
    measure_times(context);
    if (context.n_scored < kLeastScored) {
      log_warning(fmt::format("only {} scored after {} of context; an interval needs at least {}: use longer texts",
                              counted(context.n_scored, "token"), counted(n_context, "token"), kLeastScored));
    }
    return context;
  }
};

/// Those with something to score after the longest context.
std::vector<TokenizedText> long_enough(std::vector<TokenizedText> texts, const std::string& name,
                                       std::int64_t longest) {
  std::size_t most = 0;
  for (const TokenizedText& it : texts) most = std::max(most, it.ids.size());
  const std::size_t n_before = texts.size();
  std::erase_if(texts, [&](const TokenizedText& it) { return static_cast<std::int64_t>(it.ids.size()) <= longest; });
  if (texts.empty()) {
    fail_usage("--context-tokens: {} leaves nothing to score: the longest text of {} has {} tokens; use fewer", longest,
               name, most);
  }
  if (texts.size() < n_before) {
    log_info(
        fmt::format("skipped {} of {} texts that are not longer than the context", n_before - texts.size(), n_before));
  }
  return texts;
}

void write_results(const BreakEvenReport& report, const std::filesystem::path& folder) {
  write_file(folder / "breakeven.json", json_text(break_even_json(report), 2) + "\n");
  write_file(folder / "breakeven.csv", break_even_csv(report));
  for (const char* name : {"breakeven.png", "breakeven.svg"}) write_break_even_picture(report, folder / name);
  log_info(fmt::format("wrote {}: breakeven.json, .csv, .png and .svg", folder.string()));
}

void run(BreakEvenOptions& options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  const std::vector<NamedPress> presses = parsed_presses(options.presses);
  warn_of_void_budget_options(command, options.budget, presses, "--ratios");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  warn_of_void_text_options(command, options.text);
  if (!options.output.empty()) {
    // Before minutes of work: the picture needs a program that may be missing.
    check_can_draw(std::filesystem::path(options.output) / "breakeven.png");
    make_output_folder(options.output);
  }
  const OpenedModel opened = open_model(options.compute.model);
  CompressionSettings compression = options.budget.settings(options.compute, opened.config);
  const Tokenizer tokenizer = opened.tokenizer();
  for (const NamedPress& it : presses) opened.prepare(it, &tokenizer);

  const std::int64_t trained = opened.config.max_positions;
  if (options.contexts.empty()) options.contexts = {trained / 2};
  std::sort(options.contexts.begin(), options.contexts.end());
  options.contexts.erase(std::unique(options.contexts.begin(), options.contexts.end()), options.contexts.end());
  std::sort(options.answers.begin(), options.answers.end());
  std::sort(options.ratios.begin(), options.ratios.end());
  std::int64_t most = 0;
  for (const std::int64_t it : options.contexts) most = std::max(most, it + scored_after(options, it, trained));

  const TextDataset dataset = load_texts(options.text.request(most));
  const std::vector<TokenizedText> texts = long_enough(
      tokenize_texts(tokenizer, dataset, most, options.text.bos.choice()), dataset.name, options.contexts.back());
  const std::int64_t deepest = std::max(most, options.contexts.back() + options.decode_tokens);
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), most, deepest);
  compression.cache_format = loaded.cache_format;

  BreakEvenReport report;
  report.answers = options.answers;
  report.tolerance = options.tolerance;
  report.about = {{"model", options.compute.model},
                  {"dataset", dataset.name},
                  {"n_texts", texts.size()},
                  {"bos", options.text.bos.bos},
                  {"dtype", loaded.model->numbers()},
                  {"cache_dtype", to_string(loaded.cache_format)},
                  {"threads", threads()},
                  {"cpu", cpu_name()},
                  {"seed", options.compute.seed},
                  {"version", version()}};
  const std::vector<double> ratios = options.budget.ratios(options.ratios);
  const Study study{options, loaded, compression, presses, texts, ratios};
  for (const std::int64_t it : options.contexts) {
    report.contexts.push_back(study.measure(it, scored_after(options, it, trained)));
  }

  fmt::print("{}, {}, {}, {} of {}\n\n{}", options.compute.model, dataset.name, loaded.model->numbers(),
             counted(threads(), "thread"), cpu_name(), break_even_table(report));
  for (const std::string& it : break_even_sentences(report)) fmt::print("{}\n", it);
  if (!options.output.empty()) write_results(report, options.output);
}

}  // namespace

void add_breakeven_command(CLI::App& program) {
  auto options = std::make_shared<BreakEvenOptions>();
  CLI::App* command = program.add_subcommand(
      "breakeven", "Measure from which answer length a press saves time, and its cost in quality");
  options->compute.add_to(*command, "-m,--model");
  options->text.dataset = "pg19";
  options->text.add_to(*command, "--dataset");
  const auto list = [&](const char* name, auto& values, const char* help) {
    return command->add_option(name, values, help)->delimiter(',');
  };
  command
      ->add_option("--press,--presses", options->presses, "Presses that compress the context once, separated by commas")
      ->capture_default_str();
  list("--ratios,--compression-ratio", options->ratios,
       "Compression ratios (share of the tokens to evict), separated by commas")
      ->capture_default_str();
  options->budget.add_to(*command, "");
  list("--context-tokens", options->contexts,
       "Context lengths, separated by commas (default: half of the trained context)");
  list("--answers", options->answers, "Answer lengths at which the saving is reported, separated by commas")
      ->capture_default_str();
  command
      ->add_option("--tolerance", options->tolerance,
                   "Nats per token: report the largest ratio whose delta NLL, including its interval, is below this")
      ->capture_default_str();
  command->add_option("--score-tokens", options->score_tokens,
                      "Tokens to score after the context (default: 1024, or the rest of the trained context if less)");
  command
      ->add_option("--decode-tokens", options->decode_tokens,
                   "Answer tokens to decode and time; longer answers are extrapolated and marked *")
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "Repeats of each timing; medians are reported")
      ->capture_default_str();
  command->add_option("-o,--output-dir", options->output, "Folder for breakeven.json, .csv, .png and .svg");
  command->footer(
      "Examples:\n"
      "  kvpress breakeven -m demo --press expected_attention\n"
      "  kvpress breakeven -m SmolLM2-135M-Instruct.Q4_1.gguf --presses snapkv,streaming_llm \\\n"
      "    --context-tokens 1024,2048,4096 --ratios 0.5,0.75 --answers 100,1000 --tolerance 0.02 -o breakeven");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
