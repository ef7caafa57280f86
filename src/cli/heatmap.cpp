// kvpress heatmap: which tokens of a text each layer and head keeps, as a picture, a page and numbers.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "eval/sweep.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/eval/kept_tokens.h"
#include "kvpress/eval/text_input.h"
#include "press/spec.h"
#include "report/documents/result_folder.h"
#include "report/documents/token_scores.h"
#include "report/page/kept_tokens_page.h"
#include "report/pictures/gnuplot.h"
#include "report/pictures/kept_tokens_picture.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

struct HeatmapOptions {
  ComputeOptions compute;
  TextOptions text;
  std::int64_t max_tokens = 0;
  std::string presses = "snapkv";
  std::string ratios = "0.5";
  std::int64_t chunk_size = 0;
  BudgetOptions budget;
  std::string scores;
  std::string output;
};

/// Refuses what could not be written in the end.
void check_scores_file(const fs::path& path, std::size_t n_runs) {
  if (path.empty()) return;
  if (path.extension() != ".csv" && path.extension() != ".json") {
    fail_usage("--scores: '{}' has an unknown extension; use .csv or .json", path.string());
  }
  if (n_runs != 1) {
    fail_usage("--scores: {} can hold only one press at one ratio, not {} runs", path.string(), n_runs);
  }
  check_can_write(path);
}

void write_scores(const TokenScores& scores, const KeptTokensRun& run, const fs::path& path) {
  if (path.empty()) return;
  if (scores.heads.empty()) {
    fail("press {}: gave no scores: it does not score, or nothing had to be evicted; {} is not written", run.press,
         path.string());
  }
  write_file(path,
             path.extension() == ".csv" ? token_scores_csv(scores, run.tokens) : token_scores_json(scores, run.tokens));
}

/// What -o names: a file by its ending, else a folder.
enum class Output : std::uint8_t { none, picture, page, numbers, folder };

Output output_of(const fs::path& path) {
  const std::string ending = path.extension().string();
  if (path.empty()) return Output::none;
  if (ending == ".png" || ending == ".svg") return Output::picture;
  if (ending == ".html") return Output::page;
  if (ending == ".json") return Output::numbers;
  return Output::folder;
}

/// Refuses what could not be written in the end.
void check_output(const fs::path& path, std::size_t n_runs) {
  const Output output = output_of(path);
  if (n_runs > 1 && (output == Output::picture || output == Output::numbers)) {
    fail_usage("--output: {} can hold only one press at one ratio, not {} runs; give a folder or a .html",
               path.string(), n_runs);
  }
  if (output == Output::picture) check_can_draw(path);
  if (output == Output::folder) {
    check_can_draw(path / "kept_tokens.png");
    make_output_folder(path);
  } else if (output != Output::none) {
    check_can_write(path);
  }
}

void write_results(const std::vector<KeptTokensRun>& runs, const fs::path& path) {
  const std::string title = "Tokens that presses keep";
  switch (output_of(path)) {
    case Output::none:
      return;
    case Output::picture:
      write_kept_tokens_picture(runs.front(), path);
      break;
    case Output::page:
      write_file(path, kept_tokens_page(runs, title));
      break;
    case Output::numbers:
      write_file(path, kept_tokens_text(kept_tokens_document(runs.front())));
      break;
    case Output::folder:
      for (const KeptTokensRun& run : runs) {
        const fs::path folder =
            write_folder(path, result_folder_name(run.dataset, run.model, run.press, run.compression_ratio),
                         {{"kept_tokens.json", kept_tokens_text(kept_tokens_document(run))}});
        write_kept_tokens_picture(run, folder / "kept_tokens.png");
        log_info(fmt::format("wrote {}", folder.string()));
      }
      write_file(path / "heatmap.html", kept_tokens_page(runs, title));
      break;
  }
}

/// The text as its tokens, each by itself.
std::vector<std::string> token_texts(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::vector<std::string> texts;
  for (const std::int32_t id : ids) texts.push_back(token_text(tokenizer.decode_next({&id, 1}, false)));
  return texts;
}

void run(const HeatmapOptions& options, std::optional<std::int64_t> max_tokens, const CLI::App& command) {
  options.compute.apply();
  options.text.check();
  if (options.chunk_size < 0) fail_usage("--chunk-size: {} is negative; 0 means one pass", options.chunk_size);
  const std::vector<double> ratios = options.budget.ratios(parse_ratios(options.ratios, "--ratios"));
  std::vector<NamedPress> presses;
  std::size_t n_runs = 0;
  for (const std::string& it : split_presses(options.presses)) {
    presses.push_back(parse_press(it));
    if (presses.back().press == nullptr && !presses.back().is_none()) {
      fail_usage("press {}: compresses only during decode; a heat map needs a press that compresses the prefill", it);
    }
    n_runs += presses.back().uses_ratio() ? ratios.size() : 1;
  }
  check_output(options.output, n_runs);
  check_scores_file(options.scores, n_runs);
  warn_of_void_budget_options(command, options.budget, presses, "--ratios");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  warn_of_void_text_options(command, options.text);

  const OpenedModel opened = open_model(options.compute.model);
  CompressionSettings compression = options.budget.settings(options.compute, opened.config);
  const Tokenizer tokenizer = opened.tokenizer();
  for (const NamedPress& it : presses) opened.prepare(it, &tokenizer);
  ProtocolSettings whole;
  whole.protocol = Protocol::continuation;
  const PreparedTexts texts = prepare_texts(tokenizer, load_texts(options.text.request(max_tokens)), max_tokens, whole,
                                            opened.config, 0, options.text.bos.choice());
  const std::vector<std::int32_t>& ids = texts.texts.front().ids;
  const auto n = static_cast<std::int64_t>(ids.size());
  if (texts.texts.size() > 1) log_info(fmt::format("only the first of {} texts is used", texts.texts.size()));
  if (n > opened.config.max_positions && compression.positions == Positions::text) {
    log_warning_once(
        fmt::format("a text of {} tokens exceeds the trained context of {}; beyond it, attention and the tokens that "
                    "presses keep are unreliable",
                    n, opened.config.max_positions));
  }
  const std::int64_t n_block = options.chunk_size > 0 ? std::min(options.chunk_size, n) : n;
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), n_block, n);
  compression.cache_format = loaded.cache_format;

  const std::vector<std::string> tokens = token_texts(tokenizer, ids);
  std::vector<KeptTokensRun> runs;
  TokenScores scores;
  {
    Progress progress("heatmap", static_cast<std::int64_t>(n_runs) * n);
    for (const NamedPress& press : presses) {
      for (const double ratio : press.uses_ratio() ? ratios : std::vector<double>{0}) {
        try {
          runs.push_back({press.text, ratio, options.compute.model, texts.name, options.chunk_size, tokens,
                          kept_tokens(
                              *loaded.model, ids, compression.with(press, ratio), options.chunk_size,
                              [&](std::int64_t n_read) { progress.advance(n_read); },
                              options.scores.empty() ? nullptr : &scores)});
        } catch (const NotFinite& error) {
          throw texts.texts.front().located(error);
        }
        if (compression.has_fixed_budget()) runs.back().compression_ratio = 1 - summary_of(runs.back().kept).share;
      }
    }
  }
  fmt::print("{}: {}, {} of {}, {}{}\n\n{}", texts.name, counted(n, "token"), counted(opened.config.n_layers, "layer"),
             counted(opened.config.n_kv_heads, "KV head"), options.compute.model,
             options.chunk_size > 0 ? fmt::format(", in chunks of {}", options.chunk_size) : ", in one pass",
             kept_tokens_table(runs));
  write_results(runs, options.output);
  write_scores(scores, runs.front(), options.scores);
}

}  // namespace

void add_heatmap_command(CLI::App& program) {
  auto options = std::make_shared<HeatmapOptions>();
  CLI::App* command = program.add_subcommand(
      "heatmap", "Show which tokens of a text each layer and head keeps, as pictures and a page");
  options->compute.add_to(*command, "-m,--model");
  options->text.add_to(*command, "--dataset");
  CLI::Option* max_tokens = command->add_option("--max-tokens", options->max_tokens,
                                                "Truncate the text to this many tokens (default: the trained context)");
  command->add_option("--press,--presses", options->presses, "Presses, separated by commas; see kvpress presses")
      ->capture_default_str();
  command
      ->add_option("--compression-ratio,--ratios", options->ratios,
                   "Compression ratios: numbers and first:last:step, separated by commas")
      ->capture_default_str();
  command
      ->add_option("--chunk-size", options->chunk_size,
                   "Tokens between compressions; 0: one compression after the whole text")
      ->capture_default_str();
  options->budget.add_to(*command, "");
  command->add_option("-o,--output", options->output,
                      "Folder for all files, or one file: .html, or for one run .png, .svg or .json");
  command->add_option("--scores", options->scores,
                      "Write what the press scored each token in each layer and head to this file (.csv or .json)");
  command->footer(
      "Examples:\n"
      "  kvpress heatmap -m demo --press snapkv --compression-ratio 0.5 --max-tokens 512 -o heatmap\n"
      "  kvpress heatmap -m demo --press tova --compression-ratio 0.5 --max-tokens 512 --scores scores.csv\n"
      "  kvpress heatmap -m demo --dataset pg19 --presses 'snapkv,adakv(snapkv),streaming_llm' --ratios 0.5,0.75 \\\n"
      "    --chunk-size 256 -o heatmap.html\n"
      "  kvpress report heatmap -o report.html");
  command->callback(
      [options, max_tokens, command] { run(*options, given(*max_tokens, options->max_tokens), *command); });
}

}  // namespace kvpress
