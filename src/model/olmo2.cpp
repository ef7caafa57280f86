// OLMo 2 (https://arxiv.org/abs/2501.00656): norms after attention and feed-forward, and of all queries and all keys of
// a token together.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

LayerSpec olmo2_layer() {
  LayerSpec layer = llama_layer();
  layer.norm_place = NormPlace::after;
  layer.query_norm = layer.key_norm = NormKind::rms_norm;
  layer.norms_heads_together = true;
  return layer;
}

ModelConfig config_from_json(const JsonConfig& from) {
  return decoder_from_json(from, kOlmo2.model_type, olmo2_layer(), {.norm_eps = 1e-5});
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  return plain_decoder_from_gguf(file, kOlmo2.gguf_name, kOlmo2.model_type, olmo2_layer(), planned);
}

constexpr TensorNames olmo2_names() {
  TensorNames names = transformers_names();
  names.attention_post_norm = "post_attention_layernorm";
  names.mlp_post_norm = "post_feedforward_layernorm";
  return names;
}

}  // namespace

const Architecture kOlmo2 = {"olmo2", "olmo2", config_from_json, config_from_gguf, olmo2_names(), gguf_names()};

}  // namespace kvpress
