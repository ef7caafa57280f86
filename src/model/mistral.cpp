// Mistral (https://arxiv.org/abs/2310.06825) and Ministral as transformers saves them: Llama with a sliding window in
// every layer, or in those that 'layer_types' names.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config = decoder_from_json(from, from.text_or("model_type", ""), llama_layer(),
                                         {.n_kv_heads = 8, .max_positions = 4096 * 32});
  read_windows(from, config, 4096, [](std::int64_t) { return true; });
  return config;
}

}  // namespace

const Architecture kMistral = {"mistral", "", config_from_json, nullptr, transformers_names(), {}};
const Architecture kMinistral = {"ministral", "", config_from_json, nullptr, transformers_names(), {}};

}  // namespace kvpress
