// Qwen 3 (https://arxiv.org/abs/2505.09388): Llama with norms of each head's queries and keys, and a head_dim of its
// own.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

LayerSpec qwen3_layer() {
  LayerSpec layer = llama_layer();
  layer.query_norm = layer.key_norm = NormKind::rms_norm;
  return layer;
}

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config = decoder_from_json(from, kQwen3.model_type, qwen3_layer(),
                                         {.n_kv_heads = 32, .head_dim = 128, .max_positions = 32768});
  read_qwen_windows(from, config);
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  return plain_decoder_from_gguf(file, kQwen3.gguf_name, kQwen3.model_type, qwen3_layer(), planned);
}

}  // namespace

const Architecture kQwen3 = {"qwen3", "qwen3", config_from_json, config_from_gguf, transformers_names(), gguf_names()};

}  // namespace kvpress
