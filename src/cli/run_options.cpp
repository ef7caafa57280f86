#include "kvpress/cli/run_options.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/timer.h"
#include "kvpress/eval/memory_plan.h"
#include "kvpress/eval/text_input.h"
#include "kvpress/ops/isa.h"

namespace kvpress {

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
  command.add_option("--threads", threads, "Number of threads; 0: one per core")->capture_default_str();
  command.add_option("--device", device, "Device: cpu")->capture_default_str();
  command.add_option("--seed", seed, "Seed of random presses, sampling, and intervals")->capture_default_str();
  command.add_flag("--quiet", quiet, "Print only errors to stderr");
}

void ComputeOptions::apply() const {
  set_quiet(quiet);
  set_threads(threads);
  isa();  // a KVPRESS_ISA that cannot be is told before anything is done
  if (device != "cpu") fail_usage("--device: '{}' is not supported; use cpu", device);
  dtype_choice();
  parse_cache_format(cache_dtype, DType::f32, "--cache-dtype");
  if (cache_residual < 0) fail_usage("--cache-residual: {} is negative; give a number of tokens", cache_residual);
}

CacheFormat ComputeOptions::cache_format(DType automatic) const {
  CacheFormat format = parse_cache_format(cache_dtype, automatic, "--cache-dtype");
  format.residual = cache_residual;
  return format;
}

DTypeChoice ComputeOptions::dtype_choice() const {
  DTypeChoice choice = parse_dtype_choice(dtype, "--dtype");
  choice.held = parse_held_weights(weights, "--weights");
  return choice;
}

void ProtocolOptions::add_to(CLI::App& command) {
  command.add_option("--protocol", protocol, "How texts are scored: window, chunked, continuation or decode")
      ->capture_default_str();
  command.add_option("--max-length", max_length,
                     "Tokens of a window or segment (default: 1024, or the trained context if less)");
  command.add_option("--stride", stride, "window: distance between windows in tokens (default: half of --max-length)");
  command.add_option("--chunk-size", chunk_size, "chunked: tokens between compressions")->capture_default_str();
  command.add_option("--context-tokens", context_tokens, "continuation, decode: tokens before scoring (default: half)");
  command.add_option("--compression-interval", compression_interval, "decode: compress again after this many tokens");
  command.add_option("--target-size", target_size,
                     "Tokens to keep per head, instead of a ratio; with --compression-interval, at each compression");
  command.add_option("--positions", positions, kPositionsHelp)->capture_default_str();
}

ProtocolSettings ProtocolOptions::settings(const ModelConfig& config) const {
  for (const auto& [option, value] : {std::pair<const char*, std::int64_t>{"--max-length", max_length},
                                      {"--stride", stride},
                                      {"--target-size", target_size}}) {
    if (value < 0) fail_usage("{}: {} is negative; at least 1 is needed", option, value);
  }
  ProtocolSettings settings;
  settings.protocol = parse_protocol(protocol, "--protocol");
  settings.max_length = max_length > 0 ? max_length : std::min<std::int64_t>(1024, config.max_positions);
  settings.stride = stride > 0 ? stride : std::max<std::int64_t>(1, settings.max_length / 2);
  settings.chunk_size = chunk_size;
  settings.context_tokens = context_tokens;
  settings.compression_interval = compression_interval;
  if (target_size > 0) settings.target_size = target_size;
  settings.positions = parse_positions(positions, "--positions", config);
  check_settings(settings);
  if (settings.splits_text() && highest_position(settings, settings.max_length) > config.max_positions) {
    log_warning_once(
        fmt::format("--max-length {} exceeds the trained context of {} tokens; beyond it the full cache degrades, and "
                    "a press that is better than it need not be good",
                    settings.max_length, config.max_positions));
  }
  return settings;
}

void check_ratio(double ratio, const std::string& option) {
  if (!(ratio >= 0 && ratio < 1)) fail_usage("{}: {} is not a compression ratio; it must be in [0, 1)", option, ratio);
}

OpenedModel open_model(const std::string& name) {
  OpenedModel opened;
  opened.files = std::make_shared<ModelFiles>(open_model_files(name));
  opened.config = read_config(*opened.files);
  return opened;
}

Tokenizer open_tokenizer(const ModelFiles& files) {
  if (files.gguf != nullptr) return Tokenizer::from_gguf(*files.gguf);
  if (files.tokenizer_json.empty())
    fail("{}: has no tokenizer.json; it is needed to tokenize text", files.path.string());
  return Tokenizer::from_json(files.tokenizer_json);
}

void prepare_press(const NamedPress& press, const ModelConfig& config, const std::string& model_name,
                   const Tokenizer* tokenizer) {
  press.prepare({config, model_name, tokenizer});
}

void check_schedule(const NamedPress& press, const ProtocolSettings& protocol) {
  if (press.press != nullptr || !press.decoding || protocol.protocol == Protocol::decode) return;
  fail_usage("press {}: compresses during decode, but protocol {} does not decode; use --protocol decode", press.text,
             to_string(protocol.protocol));
}

MemoryPlan plan_run(const ModelConfig& config, const TensorFile* tensors, const ComputeOptions& options,
                    std::int64_t n_block, std::int64_t n_cached) {
  // What auto will choose is not known before the weights are seen: plan for the larger.
  const Numerics numerics = choose_numerics(options.dtype_choice(), StoredType::f32);
  const CacheFormat format = options.cache_format(numerics.compute);
  return plan_memory(config, held_weight_bytes(config, numerics, tensors), format, n_block, n_cached);
}

void check_fits(const ModelConfig& config, const TensorFile* tensors, const ComputeOptions& options,
                std::int64_t n_block, std::int64_t n_cached) {
  check_memory(plan_run(config, tensors, options, n_block, n_cached), static_cast<double>(available_bytes()));
}

LoadedModel load_model(const OpenedModel& opened, const ComputeOptions& options, std::int64_t n_block,
                       std::int64_t n_cached) {
  check_fits(opened.config, opened.files->tensors.get(), options, n_block, n_cached);
  const Timer timer;
  LoadedModel loaded;
  loaded.files = opened.files;
  loaded.model = std::make_unique<Model>(opened.files, options.dtype_choice());
  loaded.cache_format = options.cache_format(loaded.model->dtype());
  loaded.load_sec = timer.seconds();
  return loaded;
}

std::int64_t PreparedTexts::longest() const {
  std::size_t longest = 0;
  for (const TokenizedText& text : texts) longest = std::max(longest, text.ids.size());
  return static_cast<std::int64_t>(longest);
}

ExperimentInfo experiment_info(const ComputeOptions& options, const LoadedModel& loaded, const PreparedTexts& texts,
                               const ProtocolSettings& protocol, bool prefill_only) {
  ExperimentInfo info;
  info.model = options.model;
  info.dataset = texts.name;
  info.dtype = loaded.model->numbers();
  info.cache_dtype = to_string(loaded.cache_format);
  info.protocol = protocol;
  if (!protocol.splits_text()) {
    info.protocol.context_tokens = context_of(protocol, static_cast<std::int64_t>(texts.texts.front().ids.size()));
  }
  info.n_tokens = progress_total(texts.texts);
  for (const TokenizedText& it : texts.texts) info.text_names.push_back(it.name);
  info.seed = options.seed;
  info.prefill_only = prefill_only;
  info.load_sec = loaded.load_sec;
  info.tokenize_sec = texts.tokenize_sec;
  return info;
}

PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset, std::int64_t max_tokens,
                            bool max_tokens_given, const ProtocolSettings& settings, const ModelConfig& config) {
  if (max_tokens < 0)
    fail_usage("--max-tokens: {} is negative; give a number of tokens, or 0 for no limit", max_tokens);
  // These protocols take a text whole: cut it to what the model was trained for, unless told otherwise.
  if (!settings.splits_text() && !max_tokens_given) {
    if (settings.context_tokens >= config.max_positions) {
      fail_usage(
          "--context-tokens: {} leaves nothing to score within the trained context of {} tokens; use fewer, or set "
          "--max-tokens to use more of the text",
          settings.context_tokens, config.max_positions);
    }
    max_tokens = max_tokens > 0 ? std::min(max_tokens, config.max_positions) : config.max_positions;
  }
  const Timer timer;
  PreparedTexts prepared;
  prepared.name = dataset.name;
  prepared.texts = tokenize_texts(tokenizer, dataset, max_tokens);
  prepared.tokenize_sec = timer.seconds();
  return prepared;
}

}  // namespace kvpress
