// Llama (https://arxiv.org/abs/2302.13971, https://arxiv.org/abs/2407.21783), from transformers' files or from a GGUF;
// llama.cpp calls Mistral's and Mixtral's GGUFs so, too.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config = decoder_from_json(from, kLlama.model_type, llama_layer());
  if (from.flag_or("mlp_bias", false)) {
    for (LayerSpec& it : config.layers) it.biases.mlp_in = it.biases.mlp_out = true;
  }
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kLlama.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kLlama.model_type, llama_layer(), planned);
  require_whole_heads_turn(from, config);
  finish_gguf(from, config, {"use_parallel_residual"});
  return config;
}

constexpr TensorNames llama_gguf_names() {
  TensorNames names = gguf_names();
  names.neighbours_turn = true;
  return names;
}

}  // namespace

const Architecture kLlama = {"llama",           "llama", config_from_json, config_from_gguf, transformers_names(),
                             llama_gguf_names()};

}  // namespace kvpress
