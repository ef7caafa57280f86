// kvpress generate: text under a press, to see the model alive.
#include "kvpress/engine/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/counted.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/token_text.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/model/not_finite.h"
#include "kvpress/tokenizer/chat_template.h"

namespace kvpress {
namespace {

struct GenerateOptions {
  ComputeOptions compute;
  GenerateSettings settings;
  std::string prompt;
  std::string prompt_file;
  std::string press = "no_press";
  double compression_ratio = 0.5;
  BudgetOptions budget;
  BosOption bos;
  ChatOption chat;
  bool echo = false;
};

void check(const GenerateOptions& options) {
  check_ratio(options.compression_ratio, "--compression-ratio");
  check_settings(options.settings);
  options.bos.choice();
  if (options.prompt.empty() == options.prompt_file.empty()) {
    fail_usage("--prompt: exactly one of --prompt and --prompt-file is needed");
  }
  options.chat.check();
}

std::string prompt_of(const GenerateOptions& options) {
  if (options.prompt_file.empty()) return options.prompt;
  return read_text_file(options.prompt_file == "-" ? "/dev/stdin" : options.prompt_file);
}

/// The prompt as the model reads it: a message of the user where it has a chat template, which then also says how the
/// text begins, else a text to continue.
std::vector<std::int32_t> prompt_ids(const GenerateOptions& options, const OpenedModel& opened,
                                     const Tokenizer& tokenizer, const std::string& prompt) {
  if (!options.chat.uses_template(opened, options.bos)) return tokenizer.encode(prompt, options.bos.choice());
  const ChatTemplate chat(*opened.files);
  log_info("the prompt is a message of the user in the model's chat template; --chat no continues it as a text");
  return tokenizer.encode(chat.render(std::vector<ChatMessage>{{"user", prompt}}));
}

/// Why there is no new token, if there is none, or why there are fewer than asked for.
std::string end_of(const Generated& generated, const Tokenizer& tokenizer) {
  if (!generated.end) return "";
  const std::int32_t id = *generated.end;
  const std::string token = fmt::format("{} ({})", id, tokenizer.decode({&id, 1}, false));
  if (generated.ids.empty()) {
    return fmt::format("; the first token was one that ends the text, {}: --ignore-eos goes on after it", token);
  }
  return fmt::format("; ended by token {}", token);
}

void run(const GenerateOptions& options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  const NamedPress press = parse_press(options.press);
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  opened.prepare(press, &tokenizer);
  const std::string prompt = prompt_of(options);
  const std::vector<std::int32_t> ids = prompt_ids(options, opened, tokenizer, prompt);
  if (ids.empty()) fail_setting("prompt", "is empty; at least one token is needed");
  CompressionSettings compression = options.budget.settings(options.compute, opened.config)
                                        .with(press, options.budget.ratio(options.compression_ratio));
  warn_of_void_budget_options(command, options.budget, {&press, 1}, "--compression-ratio");
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  warn_of_void_sampling_options(command, options.settings);
  if (options.budget.compression_interval >= options.settings.max_new_tokens) {
    warn_if_given(command, "--compression-interval",
                  fmt::format("{} new tokens are over before it is", options.settings.max_new_tokens));
  }
  const auto n_prompt = static_cast<std::int64_t>(ids.size());
  const std::int64_t highest = compression.highest_position(n_prompt, options.settings.max_new_tokens);
  if (highest > opened.config.max_positions) {
    log_warning_once(fmt::format("{} tokens exceed the trained context of {}; the text beyond it is unreliable",
                                 highest, opened.config.max_positions));
  }
  const LoadedModel loaded =
      load_model(opened, options.compute.load_settings(), n_prompt, n_prompt + options.settings.max_new_tokens);
  compression.cache_format = loaded.cache_format;
  GenerateSettings settings = options.settings;
  settings.seed = options.compute.seed;

  const auto show = [](const std::string& text) {
    fmt::print("{}", text);
    std::fflush(stdout);
  };
  if (options.echo) show(prompt);
  Sequence sequence(*loaded.model, compression);
  SequenceTimes context;
  Generated generated;
  TokenText stream(tokenizer, !options.echo);
  try {
    sequence.append(ids);
    context = sequence.times();
    warn_if_nothing_is_quantized(sequence);
    generated = generate(sequence, settings, [&](std::int32_t id) { show(stream.take(id)); });
  } catch (const NotFinite& error) {
    show(stream.finish() + "\n");
    const std::int32_t id = error.token();
    throw error.in("", tokenizer.decode({&id, 1}, false));
  }
  show(stream.finish() + "\n");
  const auto n_new = static_cast<double>(generated.ids.size());
  log_info(fmt::format(
      "{}: prefill {} in {:.3f} s ({:.0f} tokens/s), press {:.3f} s, {} in {:.3f} s "
      "({:.1f} tokens/s); the cache holds {:.1f} tokens per head, {}{}",
      press.text, counted(n_prompt, "token"), context.prefill, static_cast<double>(n_prompt) / context.prefill,
      context.compress, counted(generated.ids.size(), "new token"), generated.seconds, n_new / generated.seconds,
      sequence.cache_tokens(), format_bytes(static_cast<double>(sequence.cache_bytes())),
      end_of(generated, tokenizer)));
}

}  // namespace

void add_generate_command(CLI::App& program) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = program.add_subcommand("generate", "Continue a text with a press, greedily or by sampling");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("-p,--prompt", options->prompt, "Text to continue");
  command->add_option("--prompt-file", options->prompt_file,
                      "File with the text to continue (also .gz, .xz, .zst); -: standard input");
  options->chat.add_to(*command, "the prompt is a message");
  command->add_flag("--echo", options->echo, "Print the prompt before the new text");
  command->add_option("-n,--max-new-tokens", options->settings.max_new_tokens)->capture_default_str();
  command->add_option("--press,--press-name", options->press, "Press; see kvpress presses")->capture_default_str();
  command
      ->add_option("--compression-ratio", options->compression_ratio,
                   "Compression ratio: share of the prompt to evict, in [0, 1)")
      ->capture_default_str();
  options->bos.add_to(*command);
  options->budget.add_to(*command, "Compress again after this many tokens");
  add_sampling_options(*command, options->settings);
  command->add_flag("--ignore-eos", options->settings.ignore_eos, "Continue after an end-of-text token");
  command->footer(
      "Examples:\n"
      "  kvpress generate -m demo -p \"It was a dark night\" --temperature 0.8 --seed 1\n"
      "  kvpress generate -m model.gguf --prompt-file book.txt --press snapkv --compression-ratio 0.75");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
