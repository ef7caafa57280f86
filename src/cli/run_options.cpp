#include "cli/run_options.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/threads.h"
#include "kvpress/press/plugin.h"
#include "ops/isa.h"

namespace kvpress {

void add_plugin_option(CLI::App& command) {
  command
      .add_option_function<std::vector<std::string>>(
          "--plugin",
          [](const std::vector<std::string>& files) {
            for (const std::string& it : files) load_plugin(it);
          },
          "Shared libraries with presses of your own, separated by commas; KVPRESS_PLUGINS: for every command, "
          "separated "
          "by colons")
      ->delimiter(',');
}

void ComputeOptions::add_to(CLI::App& command, const std::string& model_names) {
  if (!model_names.empty()) {
    command
        .add_option(model_names, model,
                    "Model: a folder, a .gguf file, demo, or a hub id, downloaded unless it is in the cache")
        ->required();
  }
  command
      .add_option("--dtype", dtype,
                  "Number format of weights and computation: float32, bfloat16, float16, or auto (that of the file)")
      ->capture_default_str();
  command
      .add_option("--weights", weights,
                  "How weights are kept in memory: float (as --dtype), int8, int4, or file (the GGUF's quantization; "
                  "fastest decode)")
      ->capture_default_str();
  command
      .add_option("--cache-dtype", cache_dtype,
                  "Number format of the KV cache: auto (as --dtype), float32, bfloat16, float16, or int8, int4 (except "
                  "for the newest tokens)")
      ->capture_default_str();
  command
      .add_option("--cache-residual", cache_residual, "Newest tokens of each head that int8 and int4 do not quantize")
      ->capture_default_str();
  command.add_option("--threads", threads, "Number of threads; 0: OMP_NUM_THREADS if set, else one per core")
      ->capture_default_str();
  command.add_option("--device", device, "Device: cpu")->capture_default_str();
  command.add_option("--seed", seed, "Seed of random presses, sampling, and intervals")->capture_default_str();
  command.add_flag("--quiet", quiet, "Print only errors to stderr");
  add_plugin_option(command);
}

void ComputeOptions::apply() const {
  set_quiet(quiet);
  set_threads(threads);
  isa();  // a KVPRESS_ISA that cannot be is told before anything is done
  if (device != "cpu") fail_usage("--device: '{}' is not supported; use cpu", device);
  load_settings().cache_format(DType::f32);
}

LoadSettings ComputeOptions::load_settings() const {
  LoadSettings settings;
  settings.dtype = parse_dtype_choice(dtype, setting("dtype"));
  settings.dtype.held = parse_held_weights(weights, setting("weights"));
  settings.cache_dtype = cache_dtype;
  settings.cache_residual = cache_residual;
  return settings;
}

void BudgetOptions::add_to(CLI::App& command, const std::string& interval_help) {
  const bool repeats = !interval_help.empty();
  command.add_option(
      "--budget", budget,
      "What to keep, instead of a compression ratio: tokens per head (2048), bytes of a sequence's cache (256MiB), "
      "or a ratio (0.5)");
  command.add_option(
      "--target-size", target_size,
      repeats ? "Tokens to keep per head, instead of a ratio; with --compression-interval, at each compression"
              : "Tokens to keep per head, instead of a ratio");
  if (repeats) command.add_option("--compression-interval", compression_interval, interval_help);
  command
      .add_option("--positions", positions,
                  "Positions of tokens: text (eviction leaves gaps) or cache (kept tokens are renumbered 0, 1, ...)")
      ->capture_default_str();
  command.add_flag("--press-window-layers", press_window_layers,
                   "Compress layers with a sliding window as well, a ratio counting the tokens of the window");
}

Budget BudgetOptions::given_budget() const {
  if (target_size < 0) fail_setting("target_size", "{} is negative; at least 1 is needed", target_size);
  if (target_size > 0 && !budget.empty()) fail_setting("target_size", "give it or {}, not both", setting("budget"));
  if (target_size > 0) return Budget::of_tokens(target_size);
  return budget.empty() ? Budget() : parse_budget(budget, setting("budget"));
}

CompressionSettings BudgetOptions::settings(const ComputeOptions& compute, const ModelConfig& config) const {
  CompressionSettings settings;
  settings.set_budgets(0, given_budget(), compression_interval);
  settings.positions = parse_positions(positions, setting("positions"), config);
  settings.press_window_layers = press_window_layers;
  if (press_window_layers && !config.has_windows()) {
    log_warning(fmt::format("{} has no effect: no layer of the model has a window", setting("press_window_layers")));
  }
  settings.seed = compute.seed;
  return settings;
}

std::vector<double> BudgetOptions::ratios(const std::vector<double>& given) const {
  const Budget instead = given_budget();
  if (instead.is_fixed()) return compression_interval > 0 ? given : std::vector{0.0};
  return budget.empty() ? given : std::vector{instead.ratio};
}

void add_sampling_options(CLI::App& command, GenerateSettings& settings) {
  command.add_option("--temperature", settings.temperature, "0: always the most likely next token")
      ->capture_default_str();
  command.add_option("--top-p", settings.top_p)->capture_default_str();
  command.add_option("--top-k", settings.top_k, "0: no limit")->capture_default_str();
}

void ProtocolOptions::add_to(CLI::App& command) {
  command.add_option("--protocol", protocol, "How texts are scored: window, chunked, continuation or decode")
      ->capture_default_str();
  command.add_option("--max-length", max_length,
                     "Tokens of a window or segment (default: 1024, or the trained context if less)");
  command.add_option("--stride", stride, "window: distance between windows in tokens (default: half of --max-length)");
  command.add_option("--chunk-size", chunk_size, "chunked: tokens between compressions")->capture_default_str();
  command.add_option("--context-tokens", context_tokens, "continuation, decode: tokens before scoring (default: half)");
  budget.add_to(command, "decode: compress again after this many tokens");
}

ProtocolSettings ProtocolOptions::protocol_settings(const ModelConfig& config) const {
  for (const auto& [name, value] : {std::pair{"max_length", max_length}, {"stride", stride}}) {
    if (value < 0) fail_setting(name, "{} is negative; at least 1 is needed", value);
  }
  ProtocolSettings settings;
  settings.protocol = parse_protocol(protocol, setting("protocol"));
  settings.max_length = max_length > 0 ? max_length : std::min<std::int64_t>(1024, config.max_positions);
  settings.stride = stride > 0 ? stride : std::max<std::int64_t>(1, settings.max_length / 2);
  settings.chunk_size = chunk_size;
  settings.context_tokens = context_tokens;
  check_settings(settings);
  return settings;
}

RunSettings ProtocolOptions::settings(const ComputeOptions& compute, const ModelConfig& config) const {
  RunSettings settings{protocol_settings(config), budget.settings(compute, config)};
  check_settings(settings.protocol, settings.compression);
  if (settings.protocol.splits_text() &&
      highest_position(settings.protocol, settings.compression, settings.protocol.max_length) > config.max_positions) {
    log_warning_once(
        fmt::format("--max-length {} exceeds the trained context of {} tokens; beyond it the full cache degrades, and "
                    "a press that is better than it need not be good",
                    settings.protocol.max_length, config.max_positions));
  }
  return settings;
}

void check_ratio(double ratio, const std::string& option) {
  if (!(ratio >= 0 && ratio < 1)) fail_usage("{}: {} is not a compression ratio; it must be in [0, 1)", option, ratio);
}

}  // namespace kvpress
