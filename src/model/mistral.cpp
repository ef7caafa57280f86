// Mistral (https://arxiv.org/abs/2310.06825) as transformers saves it: Llama with a sliding window in every layer.
#include "model/architecture.h"
#include "model/config_json.h"
#include "model/llama.h"

namespace kvpress {
namespace {

/// Keys that are not there have MistralConfig's defaults; null means something else.
ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config = llama_config_from_json(from);
  config.architecture = kMistral.model_type;
  if (!from.has("num_key_value_heads") && !from.is_null("num_key_value_heads")) config.n_kv_heads = 8;
  if (!from.has("max_position_embeddings")) config.max_positions = 4096 * 32;
  const std::int64_t window = from.is_null("sliding_window") ? 0 : from.size_or("sliding_window", 4096, kMaxVocabulary);
  for (LayerSpec& it : config.layers) it.window = window;
  check_config(config, from.path());
  return config;
}

}  // namespace

const Architecture kMistral = {"mistral", "", config_from_json, nullptr, llama_weights};

}  // namespace kvpress
