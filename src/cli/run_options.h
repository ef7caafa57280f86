// Options that several commands share: the model, how to compute, how to compress, how to score.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/engine/generate.h"
#include "kvpress/engine/open_model.h"
#include "kvpress/eval/run.h"

namespace kvpress {

/// --plugin: loads presses of one's own before the command begins.
void add_plugin_option(CLI::App& command);

/// --model, --dtype, --weights, --cache-dtype, --cache-residual, --threads, --device, --seed, --quiet, --plugin.
struct ComputeOptions {
  std::string model;
  std::string dtype = "auto";
  std::string weights = "float";
  std::string cache_dtype = "auto";
  std::int64_t cache_residual = CacheFormat().residual;
  std::string device = "cpu";
  int threads = 0;
  std::uint64_t seed = 0;
  bool quiet = false;

  /// `model_names` is what the model's option is called, "--model-name,-m,--model" say; empty: no such option.
  void add_to(CLI::App& command, const std::string& model_names);
  /// Checks the values and puts threads and quiet into effect. Call it first.
  void apply() const;
  LoadSettings load_settings() const;
};

/// --budget, --target-size, --compression-interval, --positions, --press-window-layers: how much stays, when and where.
struct BudgetOptions {
  std::string budget;
  std::int64_t target_size = 0;
  std::int64_t compression_interval = 0;
  std::string positions = "text";
  bool press_window_layers = false;

  /// `interval_help` says what the interval counts; empty: no such option.
  void add_to(CLI::App& command, const std::string& interval_help);
  /// Settings without a press and a ratio yet. Throws UsageError for what makes no sense.
  CompressionSettings settings(const ComputeOptions& compute, const ModelConfig& config) const;
  /// The ratios to run: those given, or the one that --budget says; a fixed budget runs once.
  std::vector<double> ratios(const std::vector<double>& given) const;
  double ratio(double given) const { return ratios({given}).front(); }

 private:
  /// What --budget or --target-size says; a ratio of 0 where neither is given.
  Budget given_budget() const;
};

/// --temperature, --top-p, --top-k.
void add_sampling_options(CLI::App& command, GenerateSettings& settings);

/// --protocol and what belongs to the protocols.
struct ProtocolOptions {
  std::string protocol = "chunked";
  std::int64_t max_length = 0;
  std::int64_t stride = 0;
  std::int64_t chunk_size = 256;
  std::int64_t context_tokens = 0;
  BudgetOptions budget;

  void add_to(CLI::App& command);
  /// Defaults that depend on the model: windows never exceed the context it was trained for.
  ProtocolSettings protocol_settings(const ModelConfig& config) const;
  /// Of a run without a press and a ratio yet, checked; the cache's format is the loaded model's to set. Warns of what
  /// exceeds the trained context.
  RunSettings settings(const ComputeOptions& compute, const ModelConfig& config) const;
};

/// The value of an option, if it was given.
template <typename T>
std::optional<T> given(const CLI::Option& option, const T& value) {
  return option.count() > 0 ? std::optional(value) : std::nullopt;
}

inline constexpr const char* kTimelineHelp =
    "Record the memory along each run: timeline.json in its folder, timeline in a document";
inline constexpr const char* kPrefillOnlyHelp = "runtime_sec includes only prefill and compression";

/// Throws UsageError unless ratio is in [0, 1).
void check_ratio(double ratio, const std::string& option);

}  // namespace kvpress
