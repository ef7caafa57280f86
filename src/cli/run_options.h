// Options that several commands share: the model, how to compute, how to score; and opening what they name.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/eval/experiment.h"
#include "kvpress/eval/memory_plan.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/model/model.h"
#include "kvpress/report/run_document.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// --model, --dtype, --weights, --cache-dtype, --cache-residual, --threads, --device, --seed, --quiet.
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
  DTypeChoice dtype_choice() const;
  /// `automatic` is the model's own type.
  CacheFormat cache_format(DType automatic) const;
};

inline constexpr const char* kPositionsHelp =
    "Positions of tokens: text (eviction leaves gaps) or cache (kept tokens are renumbered 0, 1, ...)";

/// --protocol and what belongs to the protocols.
struct ProtocolOptions {
  std::string protocol = "chunked";
  std::int64_t max_length = 0;
  std::int64_t stride = 0;
  std::int64_t chunk_size = 256;
  std::int64_t context_tokens = 0;
  std::int64_t compression_interval = 0;
  std::int64_t target_size = 0;
  std::string positions = "text";

  void add_to(CLI::App& command);
  /// Defaults that depend on the model: windows never exceed the context it was trained for. Warns when asked to.
  ProtocolSettings settings(const ModelConfig& config) const;
};

inline constexpr const char* kTimelineHelp = "true: write the memory along each run to timeline.json in its folder";

/// Throws UsageError unless ratio is in [0, 1).
void check_ratio(double ratio, const std::string& option);

/// A model with its tokenizer, ready to run.
struct LoadedModel {
  std::shared_ptr<ModelFiles> files;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  CacheFormat cache_format = {};
  double load_sec = 0;
};

/// Opened, but no weights decoded: what memory planning needs.
struct OpenedModel {
  std::shared_ptr<ModelFiles> files;
  ModelConfig config;
};
OpenedModel open_model(const std::string& name);
Tokenizer open_tokenizer(const ModelFiles& files);

/// Lets a press read its own files and look at the model; before weights are loaded. `tokenizer` may be null.
void prepare_press(const NamedPress& press, const ModelConfig& config, const std::string& model_name,
                   const Tokenizer* tokenizer);

/// Throws UsageError for a press that only compresses while decoding in a protocol that never does.
void check_schedule(const NamedPress& press, const ProtocolSettings& protocol);

/// What a run needs with a cache of n_cached tokens and passes over n_block tokens. `tensors` is null without a file.
MemoryPlan plan_run(const ModelConfig& config, const TensorFile* tensors, const ComputeOptions& options,
                    std::int64_t n_block, std::int64_t n_cached);

/// Throws Error unless that fits in memory.
void check_fits(const ModelConfig& config, const TensorFile* tensors, const ComputeOptions& options,
                std::int64_t n_block, std::int64_t n_cached);

/// Decodes and packs the weights, after checking that they fit in memory beside a cache of n_cached tokens and passes
/// over n_block tokens.
LoadedModel load_model(const OpenedModel& opened, const ComputeOptions& options, std::int64_t n_block,
                       std::int64_t n_cached);

/// A data set made ready: tokenized, with the time it took.
struct PreparedTexts {
  std::string name;
  std::vector<TokenizedText> texts;
  double tokenize_sec = 0;
  std::int64_t longest() const;
};
/// What holds for every run on these texts.
ExperimentInfo experiment_info(const ComputeOptions& options, const LoadedModel& loaded, const PreparedTexts& texts,
                               const ProtocolSettings& protocol, bool prefill_only);

/// max_tokens 0: whole texts, but no more than the trained context where a protocol takes a text whole.
PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset, std::int64_t max_tokens,
                            bool max_tokens_given, const ProtocolSettings& settings, const ModelConfig& config);

}  // namespace kvpress
