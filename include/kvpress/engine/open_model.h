// Opens a model by name (maps its files, reads its configuration) and loads it (decodes and packs its weights).
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

/// Number formats of weights and cache.
struct LoadSettings {
  DTypeChoice dtype;
  std::string cache_dtype = "auto";  ///< as parse_cache_format() reads it
  std::int64_t cache_residual = CacheFormat().residual;

  /// The format of the cache; `automatic` is the type that "auto" stands for. Throws UsageError for an unknown
  /// cache_dtype or a negative residual.
  CacheFormat cache_format(DType automatic) const;
};

/// An opened model, without decoded weights. Invalid requests are refused at this stage.
struct OpenedModel {
  std::string name;  ///< as requested
  std::shared_ptr<ModelFiles> files;
  ModelConfig config;

  bool has_tokenizer() const;
  /// Throws Error with the path of the model if it has no tokenizer.
  Tokenizer tokenizer() const;
  /// Calls Press::prepare() of the presses. `tokenizer` may be null. Throws as Press::prepare().
  void prepare(const NamedPress& press, const Tokenizer* tokenizer) const;
  /// The memory for the weights, a cache of n_cached tokens and passes over n_block tokens.
  MemoryPlan plan(const LoadSettings& settings, std::int64_t n_block, std::int64_t n_cached) const;
};

/// Opens a folder, a .gguf or .safetensors file, "demo", or a hub id. Downloads a hub id that is not in the local cache
/// of the hub. Throws Error or UsageError that names the model or file.
OpenedModel open_model(const std::string& name);

/// A model with its weights.
struct LoadedModel {
  std::string name;
  std::unique_ptr<Model> model;
  CacheFormat cache_format = {};
  double load_sec = 0;
};

/// Decodes and packs the weights. Throws Error with the sizes if weights, a cache of n_cached tokens and passes over
/// n_block tokens do not fit in memory. Scalings of RoPE that go by the length of texts go by n_cached.
LoadedModel load_model(const OpenedModel& opened, const LoadSettings& settings, std::int64_t n_block,
                       std::int64_t n_cached);

/// The memory plan of a configuration. `tensors` may be null: the sizes of random weights are then computed from the
/// configuration.
MemoryPlan plan_memory_of(const ModelConfig& config, const TensorFile* tensors, const LoadSettings& settings,
                          std::int64_t n_block, std::int64_t n_cached);

}  // namespace kvpress
