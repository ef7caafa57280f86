// Mistral (https://arxiv.org/abs/2310.06825) as transformers saves it: Llama with a sliding window in every layer.
#include "model/architecture.h"
#include "model/config_json.h"
#include "model/llama.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const nlohmann::json& json, const std::string& path) {
  const JsonConfig from(json, path);
  ModelConfig config = llama_config_from_json(json, path);
  config.architecture = kMistral.model_type;
  if (!from.has("sliding_window")) return config;
  for (LayerSpec& it : config.layers) it.window = from.size("sliding_window");
  return config;
}

}  // namespace

const Architecture kMistral = {"mistral", "", config_from_json, nullptr, llama_weights};

}  // namespace kvpress
