// kvpress calibrate: the trained parts of a press, made from texts for a model.
#include "calibrate/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/text_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/timer.h"
#include "kvpress/base/version.h"
#include "kvpress/eval/text_input.h"

namespace kvpress {
namespace {

struct CalibrateOptions {
  ComputeOptions compute;
  std::string method;
  TextOptions text;
  std::int64_t max_tokens = 16384;
  std::int64_t max_length = 0;
  std::int64_t n_sink = 4;
  std::string output;
};

void check(const CalibrateOptions& options) {
  for (const auto& [option, value] :
       {std::pair{"--max-tokens", options.max_tokens}, std::pair{"--n-sink", options.n_sink}}) {
    if (value < 0) fail_usage("{}: {} is negative; give a number of tokens", option, value);
  }
  options.text.check();
  if (options.max_length < 0) fail_usage("--max-length: {} is negative; 0 is the default", options.max_length);
  check_can_write(options.output);
}

void run(const CalibrateOptions& options, const CLI::App& command) {
  options.compute.apply();
  const CalibrationMethod& method = calibration_method(options.method);
  check(options);
  if (method.name != "expected_attention") {
    warn_if_given(command, "--n-sink", fmt::format("{} reads all tokens of a piece", method.name));
  }
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  warn_of_void_text_options(command, options.text);
  const OpenedModel opened = open_model(options.compute.model);
  const TextDataset dataset = load_texts(options.text.request(options.max_tokens));
  const Tokenizer tokenizer = opened.tokenizer();
  // A text that is repeated takes twice its positions, and some for asking.
  const std::int64_t trained = opened.config.max_positions;
  const std::int64_t longest = method.repeats_text ? std::max<std::int64_t>(1, trained / 2 - 32) : trained;
  const std::int64_t max_length = options.max_length > 0 ? options.max_length : std::min<std::int64_t>(2048, longest);
  if (max_length > longest) {
    log_warning_once(
        fmt::format("--max-length {} exceeds the {} tokens that fit into the trained context", max_length, longest));
  }
  const auto texts =
      cut_into_pieces(tokenize_texts(tokenizer, dataset, options.max_tokens, options.text.bos.choice()), max_length);
  const std::int64_t n_tokens = progress_total(texts);
  const std::int64_t n_cached = method.repeats_text ? 2 * max_length + 64 : max_length;
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), max_length, n_cached);

  const Timer timer;
  std::vector<NamedTensor> tensors;
  {
    Progress progress(fmt::format("calibrate {}", method.name), n_tokens);
    Calibration calibration{*loaded.model, texts, loaded.cache_format, options.n_sink, &tokenizer};
    calibration.on_progress = [&](std::int64_t n) { progress.advance(n); };
    tensors = calibrated(method, calibration);
  }
  write_safetensors(options.output, tensors,
                    {{"format", "pt"},
                     {"method", std::string(method.name)},
                     {"model", options.compute.model},
                     {"dataset", dataset.name},
                     {"n_texts", std::to_string(texts.size())},
                     {"n_tokens", std::to_string(n_tokens)},
                     {"version", std::string(version())}});
  fmt::print("{}: {} of {}, {}, {:.1f} s; use it: --press '{}'\n", options.output, counted(n_tokens, "token"),
             dataset.name, counted(texts.size(), "piece"), timer.seconds(),
             fmt::format(fmt::runtime(method.usage), options.output));
}

}  // namespace

void add_calibrate_command(CLI::App& program) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command = program.add_subcommand("calibrate", "Make the file of a press with trained parts from texts");
  std::string methods;
  for (const CalibrationMethod& it : calibration_methods()) {
    methods += fmt::format("{}{} ({})", methods.empty() ? "" : "; ", it.name, it.summary);
  }
  command->add_option("method", options->method, methods)->required();
  options->compute.add_to(*command, "-m,--model-name,--model");
  options->text.add_to(*command, "--dataset-name,--dataset");
  command->add_option("--max-tokens", options->max_tokens, "Truncate each text to this many tokens; 0: no limit")
      ->capture_default_str();
  command->add_option(
      "--max-length", options->max_length,
      "Length of the pieces that texts are divided into (default: 2048, or the trained context if less)");
  command->add_option("--n-sink", options->n_sink, "expected_attention: first tokens of each piece to ignore")
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "Safetensors file to write")->required();
  command->footer(
      "Examples:\n"
      "  kvpress calibrate qfilter -m demo --dataset pg19 -o demo_qfilter.safetensors\n"
      "  kvpress ppl -m demo --press 'qfilter(file=demo_qfilter.safetensors)' --compression-ratio 0.5\n"
      "  kvpress calibrate expected_attention -m model.gguf --dataset book.txt.gz --max-tokens 50000 \\\n"
      "    -o stats.safetensors");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
