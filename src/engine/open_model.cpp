#include "kvpress/engine/open_model.h"

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/timer.h"

namespace kvpress {

CacheFormat LoadSettings::cache_format(DType automatic) const {
  CacheFormat format = parse_cache_format(cache_dtype, automatic, setting("cache_dtype"));
  if (cache_residual < 0) fail_setting("cache_residual", "{} is negative; give a number of tokens", cache_residual);
  format.residual = cache_residual;
  return format;
}

bool OpenedModel::has_tokenizer() const { return files->gguf != nullptr || !files->tokenizer.empty(); }

Tokenizer OpenedModel::tokenizer() const {
  if (files->gguf != nullptr) return Tokenizer::from_gguf(*files->gguf);
  if (files->tokenizer.empty() && !files->incomplete.empty()) fail("{}", files->incomplete);
  if (files->tokenizer.empty()) {
    fail("{}: has no tokenizer.json, tokenizer.model or tekken.json; one is needed to tokenize text",
         files->path.string());
  }
  return Tokenizer::from_file(files->tokenizer);
}

void OpenedModel::prepare(const NamedPress& press, const Tokenizer* tokenizer) const {
  press.prepare({config, name, tokenizer});
}

MemoryPlan OpenedModel::plan(const LoadSettings& settings, std::int64_t n_block, std::int64_t n_cached) const {
  return plan_memory_of(config, files->tensors.get(), settings, n_block, n_cached);
}

OpenedModel open_model(const std::string& name) {
  OpenedModel opened;
  opened.name = name;
  opened.files = std::make_shared<ModelFiles>(open_model_files(name));
  opened.config = read_config(*opened.files);
  return opened;
}

LoadedModel load_model(const OpenedModel& opened, const LoadSettings& settings, std::int64_t n_block,
                       std::int64_t n_cached) {
  check_memory(opened.plan(settings, n_block, n_cached), static_cast<double>(available_bytes()));
  const Timer timer;
  LoadedModel loaded;
  loaded.name = opened.name;
  loaded.model = std::make_unique<Model>(opened.files, settings.dtype, n_cached);
  loaded.cache_format = settings.cache_format(loaded.model->dtype());
  loaded.load_sec = timer.seconds();
  return loaded;
}

MemoryPlan plan_memory_of(const ModelConfig& config, const TensorFile* tensors, const LoadSettings& settings,
                          std::int64_t n_block, std::int64_t n_cached) {
  // What auto will choose is not known before the weights are seen: plan for the larger.
  const Numerics numerics = choose_numerics(settings.dtype, StoredType::f32);
  const CacheFormat format = settings.cache_format(numerics.compute);
  return plan_memory(config, held_weight_bytes(config, numerics, tensors), format, n_block, n_cached);
}

}  // namespace kvpress
