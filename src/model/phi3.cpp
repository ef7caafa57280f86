// Phi-3 and Phi-4-mini (https://arxiv.org/abs/2404.14219): Llama with queries, keys and values in one tensor, and gate
// and up in another; some turn a share of the channels only, by LongRoPE.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kPhi3.model_type, llama_layer(), {.max_positions = 4096, .norm_eps = 1e-5});
  read_windows(from, config, 0, [](std::int64_t) { return true; });
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kPhi3.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kPhi3.model_type, llama_layer(), planned);
  read_windows(from, config, config.n_layers + 1);  // all
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames phi3_names() {
  TensorNames names = transformers_names();
  names.qkv = "self_attn.qkv_proj";
  names.gate_up = "mlp.gate_up_proj";
  return names;
}

constexpr TensorNames phi3_gguf_names() {
  TensorNames names = gguf_names();
  names.gate_up = "ffn_up";
  return names;
}

}  // namespace

const Architecture kPhi3 = {"phi3", "phi3", config_from_json, config_from_gguf, phi3_names(), phi3_gguf_names()};

}  // namespace kvpress
