// Qwen 2 and 2.5 (https://arxiv.org/abs/2407.10671, https://arxiv.org/abs/2412.15115): Llama with biases of queries,
// keys and values.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

LayerSpec qwen2_layer() {
  LayerSpec layer = llama_layer();
  layer.biases.query = layer.biases.key = layer.biases.value = true;
  return layer;
}

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kQwen2.model_type, qwen2_layer(), {.n_kv_heads = 32, .max_positions = 32768});
  read_qwen_windows(from, config);
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  return plain_decoder_from_gguf(file, kQwen2.gguf_name, kQwen2.model_type, qwen2_layer(), planned);
}

}  // namespace

const Architecture kQwen2 = {"qwen2", "qwen2", config_from_json, config_from_gguf, transformers_names(), gguf_names()};

}  // namespace kvpress
