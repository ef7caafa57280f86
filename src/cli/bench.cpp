// kvpress bench: prefill and decoding speed of a model, or of a random one of a named shape.
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/void_options.h"
#include "engine/random_model.h"
#include "engine/shapes.h"
#include "eval/measure.h"
#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "kvpress/engine/open_model.h"
#include "press/spec.h"
#include "report/documents/json.h"

namespace kvpress {
namespace {

struct BenchOptions {
  ComputeOptions compute;
  std::string shape;
  std::int64_t layers = 0;
  std::vector<std::int64_t> prefill = {1024};
  std::vector<std::int64_t> depths = {0, 1024};
  std::vector<double> ratios = {0.0, 0.5};
  std::string presses = "no_press,knorm,streaming_llm,keydiff,tova,snapkv,expected_attention,observed_attention";
  std::string decode_press = "streaming_llm";
  double press_ratio = 0.5;
  std::int64_t decode_tokens = 32;
  std::vector<int> batches = {1};
  int repeats = 3;
  bool loss = false;
  bool attention = true;
  std::string output;
};

void check(const BenchOptions& options) {
  if (options.compute.model.empty() == options.shape.empty()) {
    fail_usage("--model: exactly one of --model and --shape is needed");
  }
  if (options.layers > 0 && options.shape.empty()) fail_usage("--layers: needs --shape");
  for (const std::int64_t n : options.prefill) {
    if (n < 1) fail_usage("--prefill: {} is too small; at least 1 token is needed", n);
  }
  for (const std::int64_t n : options.depths) {
    if (n < 0) fail_usage("--depths: {} is negative; give numbers of tokens", n);
  }
  for (const double ratio : options.ratios) check_ratio(ratio, "--ratios");
  check_ratio(options.press_ratio, "--press-ratio");
  for (const int n : options.batches) {
    if (n < 1) fail_usage("--batch: {} is too small; at least 1 is needed", n);
  }
  if (options.decode_tokens < 1)
    fail_usage("--decode-tokens: {} is too small; at least 1 is needed", options.decode_tokens);
  if (options.repeats < 1) fail_usage("--repeats: {} is too small; at least 1 is needed", options.repeats);
}

LoadedModel open(const BenchOptions& options, const std::vector<NamedPress>& presses, std::int64_t n_block,
                 std::int64_t n_cached) {
  const LoadSettings settings = options.compute.load_settings();
  if (options.shape.empty()) {
    const OpenedModel opened = open_model(options.compute.model);
    // Speed needs no text: a model without a tokenizer will do.
    std::optional<Tokenizer> tokenizer;
    if (opened.has_tokenizer()) tokenizer = opened.tokenizer();
    for (const NamedPress& it : presses) opened.prepare(it, tokenizer ? &*tokenizer : nullptr);
    return load_model(opened, settings, n_block, n_cached);
  }
  ModelConfig config = named_shape(options.shape);
  if (options.layers > config.n_layers) {
    fail_usage("--layers: {} has {} layers, not {}", options.shape, config.n_layers, options.layers);
  }
  if (options.layers > 0) {
    config.n_layers = options.layers;
    config.layers.resize(static_cast<std::size_t>(options.layers));
  }
  for (const NamedPress& it : presses) it.prepare({config, options.shape, nullptr});
  check_memory(plan_memory_of(config, nullptr, settings, n_block, n_cached), static_cast<double>(available_bytes()));
  LoadedModel loaded;
  loaded.model = std::make_unique<Model>(random_model(config, settings.dtype, options.compute.seed));
  loaded.cache_format = settings.cache_format(loaded.model->dtype());
  return loaded;
}

Json bench_prefill(const BenchOptions& options, const LoadedModel& loaded, const std::vector<NamedPress>& presses) {
  CompressionSettings compression;
  compression.cache_format = loaded.cache_format;
  Json rows = Json::array();
  for (const std::int64_t n : options.prefill) {
    std::optional<double> full_sec;  // of no_press, once it was measured
    for (const NamedPress& press : presses) {
      const PrefillSpeed speed = measure_prefill(*loaded.model, n, compression.with(press, options.press_ratio),
                                                 options.loss, options.repeats);
      const double seconds = speed.prefill_sec + speed.loss_sec;
      rows.push_back({{"tokens", n},
                      {"press", press.text},
                      {"prefill_sec", speed.prefill_sec},
                      {"loss_sec", speed.loss_sec},
                      {"compress_sec", speed.compress_sec},
                      {"tokens_per_sec", static_cast<double>(n) / seconds},
                      {"compress_share", speed.compress_sec / speed.prefill_sec}});
      std::string beside;
      if (press.is_none()) {
        full_sec = speed.prefill_sec;
      } else if (full_sec) {  // also what attention does for the press, which compress_sec has not
        const double more = (speed.prefill_sec + speed.compress_sec) / *full_sec - 1;
        rows.back()["beside_no_press"] = more;
        beside = fmt::format("  {:+.1f} % over no_press", 100 * more);
      }
      fmt::print(
          "prefill {:>6} tokens  {:<20}  {:>8.4f} s{}  {:>9.0f} tokens/s  press {:>8.4f} s ({:.1f} %){}\n", n,
          press.text, speed.prefill_sec, options.loss ? fmt::format(" + loss {:.4f} s", speed.loss_sec) : std::string(),
          static_cast<double>(n) / seconds, speed.compress_sec, 100 * speed.compress_sec / speed.prefill_sec, beside);
    }
  }
  return rows;
}

Json bench_decode(const BenchOptions& options, const LoadedModel& loaded, const NamedPress& press) {
  const NamedPress none = parse_press("no_press");
  CompressionSettings compression;
  compression.cache_format = loaded.cache_format;
  Json rows = Json::array();
  for (const std::int64_t depth : options.depths) {
    for (const double ratio : options.ratios) {
      if (depth == 0 && ratio > 0) continue;
      for (const int batch : options.batches) {
        const DecodeSpeed speed = measure_decode(
            *loaded.model, depth, compression.with(ratio > 0 ? press : none, ratio), options.decode_tokens, batch);
        rows.push_back({{"depth", depth},
                        {"press", ratio > 0 ? press.text : none.text},
                        {"compression_ratio", ratio},
                        {"batch", batch},
                        {"cache_tokens", speed.cache_tokens},
                        {"cache_bytes", speed.cache_bytes},
                        {"sec_per_token", 1 / speed.tokens_per_second()},
                        {"tokens_per_sec", speed.tokens_per_second()}});
        fmt::print("decode  at {:>6} tokens  ratio {:.2f}  {:>8.1f} kept ({})  batch {:>2}  {:>8.1f} tokens/s\n", depth,
                   ratio, speed.cache_tokens, format_bytes(static_cast<double>(speed.cache_bytes)), batch,
                   speed.tokens_per_second());
      }
    }
  }
  return rows;
}

/// How near attention comes to the ideal: its time over the full cache, times what is left of it.
Json bench_attention(const BenchOptions& options, const LoadedModel& loaded) {
  constexpr int kRepeats = 24;
  Json rows = Json::array();
  for (const std::int64_t depth : options.depths) {
    if (depth == 0) continue;
    const AttentionSpeed full = measure_attention(*loaded.model, depth, 0, false, loaded.cache_format, kRepeats);
    for (const double ratio : options.ratios) {
      for (const bool ragged : {false, true}) {
        if (ratio == 0 && !ragged) {
          fmt::print("attend  at {:>6} tokens  ratio {:.2f}  {:>8.1f} kept, uniform  {:>8.3f} ms\n", depth, ratio,
                     full.cache_tokens, 1e3 * full.seconds);
        }
        const AttentionSpeed speed = ratio == 0 && !ragged ? full
                                                           : measure_attention(*loaded.model, depth, ratio, ragged,
                                                                               loaded.cache_format, kRepeats);
        const double ideal = full.seconds * speed.cache_tokens / full.cache_tokens;
        rows.push_back({{"depth", depth},
                        {"compression_ratio", ratio},
                        {"ragged", ragged},
                        {"cache_tokens", speed.cache_tokens},
                        {"sec", speed.seconds},
                        {"ideal_sec", ideal},
                        {"of_ideal", speed.seconds / ideal}});
        if (ratio == 0 && !ragged) continue;
        fmt::print(
            "attend  at {:>6} tokens  ratio {:.2f}  {:>8.1f} kept, {:<7}  {:>8.3f} ms  ideal {:>8.3f} ms  {:.2f} x\n",
            depth, ratio, speed.cache_tokens, ragged ? "ragged" : "uniform", 1e3 * speed.seconds, 1e3 * ideal,
            speed.seconds / ideal);
      }
    }
  }
  return rows;
}

void run(const BenchOptions& options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  if (!options.output.empty()) check_can_write(options.output);
  std::vector<NamedPress> presses;
  for (const std::string& it : split_presses(options.presses)) presses.push_back(parse_press(it));
  if (std::all_of(presses.begin(), presses.end(), [](const NamedPress& it) { return it.is_none(); })) {
    warn_if_given(command, "--press-ratio", "--presses names no press");
  }
  if (std::all_of(options.ratios.begin(), options.ratios.end(), [](double it) { return it == 0; })) {
    warn_if_given(command, "--decode-press", "--ratios has no ratio above 0");
  }
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  const NamedPress decode_press = parse_press(options.decode_press);
  const std::int64_t longest = *std::max_element(options.prefill.begin(), options.prefill.end());
  const std::int64_t deepest = *std::max_element(options.depths.begin(), options.depths.end());
  std::vector<NamedPress> all = presses;
  all.push_back(decode_press);
  const LoadedModel loaded = open(options, all, longest, std::max(longest, deepest));

  Json document = {{"model", options.shape.empty() ? options.compute.model : "random " + options.shape},
                   {"dtype", loaded.model->numbers()},
                   {"weight_bytes", loaded.model->weight_bytes()},
                   {"cache_dtype", to_string(loaded.cache_format)},
                   {"threads", threads()},
                   {"repeats", options.repeats},
                   {"version", version()},
                   {"cpu", cpu_name()}};
  fmt::print("{}, {}, {}, {}\n", document["model"].get<std::string>(), document["dtype"].get<std::string>(),
             counted(threads(), "thread"), cpu_name());
  document["prefill"] = bench_prefill(options, loaded, presses);
  document["decode"] = bench_decode(options, loaded, decode_press);
  if (options.attention) document["attention"] = bench_attention(options, loaded);
  if (!options.output.empty()) write_file(options.output, json_text(document, 2) + "\n");
}

}  // namespace

void add_bench_command(CLI::App& program) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = program.add_subcommand("bench", "Measure the speed of prefill, presses and decode");
  options->compute.add_to(*command, "");
  command->add_option("-m,--model", options->compute.model, "Model: a folder, a .gguf file, demo, or a hub id");
  command->add_option(
      "--shape", options->shape,
      fmt::format("Instead of a model, random weights of this shape: {}", fmt::join(shape_names(), ", ")));
  command->add_option("--layers", options->layers, "Only so many layers of the shape")->check(CLI::PositiveNumber);
  command->add_option("--prefill", options->prefill, "Prefill lengths in tokens, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--loss", options->loss, "true: also compute the loss of every token")->capture_default_str();
  command->add_option("--presses", options->presses, "Presses to time after a prefill, separated by commas")
      ->capture_default_str();
  command->add_option("--press-ratio", options->press_ratio, "Their compression ratio")->capture_default_str();
  command->add_option("--depths", options->depths, "Tokens in the cache before decode, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--ratios", options->ratios, "Compression ratios of that cache, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--attention", options->attention,
                   "true: also time attention alone, with uniform and with ragged heads, relative to the ideal")
      ->capture_default_str();
  command->add_option("--decode-press", options->decode_press, "Press that compresses that cache")
      ->capture_default_str();
  command->add_option("--decode-tokens", options->decode_tokens, "Tokens to decode at each depth")
      ->capture_default_str();
  command->add_option("--batch", options->batches, "Numbers of sequences to decode together, by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "Number of repeats; the median is reported")
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "Write the numbers to this file as JSON");
  command->footer(
      "Examples:\n"
      "  kvpress bench --shape pythia-70m --prefill 1024,8192 --loss true --depths 512,4096 --ratios 0,0.5,0.9\n"
      "  kvpress bench --shape smollm2-135m --presses no_press --depths 512 --ratios 0 --batch 1,2,4,8\n"
      "  kvpress bench -m demo -o bench.json");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
