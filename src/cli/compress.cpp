// kvpress compress: reads a text once, and writes what the press leaves of its cache to a file.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/context_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/timer.h"

namespace kvpress {
namespace {

struct CompressOptions {
  ComputeOptions compute;
  ContextOptions context;
  std::string text;
  std::string output;
  bool no_text = false;
};

void run(const CompressOptions& options, const CLI::App& command) {
  options.compute.apply();
  options.context.check();
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  ContextText text = read_context_text(options.context, options.compute, opened, tokenizer, options.text, command);
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  check_can_save(text.compression, opened.config, !options.no_text);
  check_can_write(options.output);
  const std::int64_t n = std::ssize(text.tokens);
  ContextOrigin origin = origin_of(opened);
  origin.n_planned = n;
  origin.notes["text"] = options.text;
  text.turns.write(origin);

  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), n, n);
  const Sequence sequence = read_context(loaded, text, tokenizer);
  const Timer saving;
  save_context(sequence, options.output, origin, !options.no_text);
  const double seconds = saving.seconds();
  fmt::print("{}", context_summary(ContextFile(options.output).info(), options.output));
  const SequenceTimes times = sequence.times();
  log_info(fmt::format("read {} in {:.2f} s ({:.0f} tokens/s), press {:.2f} s, written in {:.2f} s",
                       counted(n, "token"), times.prefill, static_cast<double>(n) / times.prefill, times.compress,
                       seconds));
}

}  // namespace

void add_compress_command(CLI::App& program) {
  auto options = std::make_shared<CompressOptions>();
  CLI::App* command =
      program.add_subcommand("compress", "Read a text once and save its compressed cache, to ask about it later");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("text", options->text, "Text file (also .gz, .xz, .zst); -: standard input")->required();
  command->add_option("-o,--output", options->output, "File to write, such as book.kv")->required();
  options->context.add_to(*command, "kvzip");
  command->add_flag("--no-text", options->no_text, "Store a hash of the text's tokens instead of the tokens");
  command->footer(
      "Examples:\n"
      "  kvpress compress -m model.gguf book.txt --compression-ratio 0.7 -o book.kv\n"
      "  kvpress compress -m model.gguf book.txt --press snapkv --budget 64MiB -o book.kv\n"
      "  kvpress ask -m model.gguf book.kv \"Who keeps the light?\"");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
