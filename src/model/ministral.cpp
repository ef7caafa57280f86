// Ministral as transformers saves it: Llama with a window in the layers that its configuration names.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kMinistral.model_type, llama_layer(), {.n_kv_heads = 8, .max_positions = 4096 * 32});
  read_windows(from, config, 4096, [](std::int64_t) { return true; });
  return config;
}

}  // namespace

const Architecture kMinistral = {"ministral", "", config_from_json, nullptr, transformers_names(), {}};

}  // namespace kvpress
