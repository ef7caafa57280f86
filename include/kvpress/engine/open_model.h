// A model by its name: opened (files mapped, configuration read), then loaded (weights decoded and packed) where memory
// suffices.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kvpress/cache/cache_format.h"
#include "kvpress/engine/memory_plan.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/model/config.h"
#include "kvpress/model/model.h"
#include "kvpress/press/registry.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// Numbers of weights and cache.
struct LoadSettings {
  DTypeChoice dtype;
  std::string cache_dtype = "auto";  ///< as parse_cache_format() reads it
  std::int64_t cache_residual = CacheFormat().residual;

  /// `automatic` is the model's own type. Throws UsageError for a cache_dtype that is not known and a residual below 0.
  CacheFormat cache_format(DType automatic) const;
};

/// Opened, but no weights decoded: what can be refused early is refused by this.
struct OpenedModel {
  std::string name;  ///< as it was asked for
  std::shared_ptr<ModelFiles> files;
  ModelConfig config;

  bool has_tokenizer() const;
  /// Throws Error naming the model's path when there is none.
  Tokenizer tokenizer() const;
  /// Lets a press read its own files and look at the model, before weights are loaded. `tokenizer` may be null. Throws
  /// what Press::prepare() does.
  void prepare(const NamedPress& press, const Tokenizer* tokenizer) const;
  /// What the weights take, with a cache of n_cached tokens and passes over n_block tokens.
  MemoryPlan plan(const LoadSettings& settings, std::int64_t n_block, std::int64_t n_cached) const;
};

/// A folder, a .gguf or .safetensors file, "demo", or a hub id, which is fetched where it is not in the hub's local
/// cache.
OpenedModel open_model(const std::string& name);

/// A model that is ready to run.
struct LoadedModel {
  std::string name;
  std::unique_ptr<Model> model;
  CacheFormat cache_format = {};
  double load_sec = 0;
};

/// Decodes and packs the weights. Throws Error with the numbers when they do not fit in memory beside a cache of
/// n_cached tokens and passes over n_block tokens.
LoadedModel load_model(const OpenedModel& opened, const LoadSettings& settings, std::int64_t n_block,
                       std::int64_t n_cached);

/// The same by the configuration alone, for weights that are in no file.
MemoryPlan plan_memory_of(const ModelConfig& config, const TensorFile* tensors, const LoadSettings& settings,
                          std::int64_t n_block, std::int64_t n_cached);

}  // namespace kvpress
