// kvpress generate: text under a press, to see the model alive.
#include "kvpress/eval/generate.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/cli/commands.h"
#include "kvpress/cli/run_options.h"

namespace kvpress {
namespace {

struct GenerateOptions {
  ComputeOptions compute;
  GenerateSettings settings;
  std::string prompt;
  std::string prompt_file;
  std::string press = "no_press";
  double compression_ratio = 0.5;
  std::int64_t target_size = 0;
  std::string positions = "text";
};

void check(const GenerateOptions& options) {
  const GenerateSettings& settings = options.settings;
  check_ratio(options.compression_ratio, "--compression-ratio");
  if (settings.max_new_tokens < 1)
    fail_usage("--max-new-tokens: {} is too small; at least 1 is needed", settings.max_new_tokens);
  if (!(settings.temperature >= 0))
    fail_usage("--temperature: {} is negative; 0 means greedy decoding", settings.temperature);
  if (!(settings.top_p > 0 && settings.top_p <= 1)) fail_usage("--top-p: {} is not in (0, 1]", settings.top_p);
  if (settings.top_k < 0) fail_usage("--top-k: {} is negative; 0 means no limit", settings.top_k);
  if (settings.compression_interval < 0)
    fail_usage("--compression-interval: {} is negative; give a number of tokens, or 0 for none",
               settings.compression_interval);
  if (options.target_size < 0) fail_usage("--target-size: {} is negative; at least 1 is needed", options.target_size);
  if (settings.compression_interval > 0 && options.target_size == 0) {
    fail_usage(
        "--compression-interval: --target-size is needed as well: the number of tokens to keep at each compression");
  }
  if (options.prompt.empty() == options.prompt_file.empty()) {
    fail_usage("--prompt: exactly one of --prompt and --prompt-file is needed");
  }
}

void run(const GenerateOptions& options) {
  options.compute.apply();
  check(options);
  const NamedPress press = parse_press(options.press);
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = open_tokenizer(*opened.files);
  prepare_press(press, opened.config, options.compute.model, &tokenizer);
  const std::string prompt = options.prompt_file.empty() ? options.prompt : read_text_file(options.prompt_file);
  const std::vector<std::int32_t> ids = tokenizer.encode(prompt);
  const auto n_prompt = static_cast<std::int64_t>(ids.size());
  const std::int64_t n_all = n_prompt + options.settings.max_new_tokens;
  const Positions positions = parse_positions(options.positions, "--positions", opened.config);
  std::int64_t highest = n_all;
  if (positions == Positions::cache && options.target_size > 0 && !press.is_none()) {
    const bool repeats = options.settings.compression_interval > 0;
    const std::int64_t kept = std::min(n_prompt, options.target_size);
    highest =
        std::max(n_prompt, kept + (repeats ? options.settings.compression_interval : options.settings.max_new_tokens));
  }
  if (highest > opened.config.max_positions) {
    log_warning_once(fmt::format("{} tokens exceed the trained context of {}; the text beyond it is unreliable",
                                 highest, opened.config.max_positions));
  }
  LoadedModel loaded = load_model(opened, options.compute, n_prompt, n_all);
  GenerateSettings settings = options.settings;
  settings.cache_format = loaded.cache_format;
  settings.seed = options.compute.seed;
  settings.positions = positions;
  if (!press.is_none()) settings.budget.ratio = options.compression_ratio;
  if (options.target_size > 0 && !press.is_none()) settings.target_size = options.target_size;

  fmt::print("{}", prompt);
  std::fflush(stdout);
  const Generated generated = generate(*loaded.model, ids, press, settings, [&](std::int32_t id) {
    fmt::print("{}", tokenizer.decode({&id, 1}));
    std::fflush(stdout);
  });
  fmt::print("\n");
  const auto n_new = static_cast<double>(generated.ids.size());
  log_info(
      fmt::format("{}: prefill {} tokens in {:.3f} s ({:.0f} tokens/s), press {:.3f} s, {} new tokens in {:.3f} s "
                  "({:.1f} tokens/s); the cache holds {:.1f} tokens per head, {}{}",
                  press.text, n_prompt, generated.prefill_sec, static_cast<double>(n_prompt) / generated.prefill_sec,
                  generated.compress_sec, generated.ids.size(), generated.decode_sec, n_new / generated.decode_sec,
                  generated.cache_tokens, format_bytes(static_cast<double>(generated.cache_bytes)),
                  generated.ended ? "; stopped at an end-of-text token" : ""));
}

}  // namespace

void add_generate_command(CLI::App& program) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = program.add_subcommand("generate", "Continue a text with a press, greedily or by sampling");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("-p,--prompt", options->prompt, "Text to continue");
  command->add_option("--prompt-file", options->prompt_file, "File with the text to continue (also .gz, .xz, .zst)");
  command->add_option("-n,--max-new-tokens", options->settings.max_new_tokens)->capture_default_str();
  command->add_option("--press,--press-name", options->press, "Press; see kvpress presses")->capture_default_str();
  command
      ->add_option("--compression-ratio", options->compression_ratio,
                   "Compression ratio: share of the prompt to evict, in [0, 1)")
      ->capture_default_str();
  command->add_option("--compression-interval", options->settings.compression_interval,
                      "Compress again after this many tokens");
  command->add_option("--target-size", options->target_size,
                      "Tokens to keep per head, instead of a ratio; with --compression-interval, at each compression");
  command->add_option("--positions", options->positions, kPositionsHelp)->capture_default_str();
  command->add_option("--temperature", options->settings.temperature, "0: always the most likely next token")
      ->capture_default_str();
  command->add_option("--top-p", options->settings.top_p)->capture_default_str();
  command->add_option("--top-k", options->settings.top_k, "0: no limit")->capture_default_str();
  command->add_flag("--ignore-eos", options->settings.ignore_eos, "Continue after an end-of-text token");
  command->footer(
      "Examples:\n"
      "  kvpress generate -m demo -p \"It was a dark night\" --temperature 0.8 --seed 1\n"
      "  kvpress generate -m model.gguf --prompt-file book.txt --press snapkv --compression-ratio 0.75");
  command->callback([options] { run(*options); });
}

}  // namespace kvpress
