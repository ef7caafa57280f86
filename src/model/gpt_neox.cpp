// GPT-NeoX (https://arxiv.org/abs/2204.06745): Pythia and its kin.
#include <string>

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  const std::string& path = from.path();
  ModelConfig config;
  config.architecture = kGptNeox.model_type;
  config.hidden_size = from.size("hidden_size");
  config.n_heads = from.size("num_attention_heads");
  config.n_kv_heads = config.n_heads;
  config.vocab_size = from.size("vocab_size", kMaxVocabulary);
  config.max_positions = from.size_or("max_position_embeddings", 2048, kMaxVocabulary);
  config.tied_output = from.flag_or("tie_word_embeddings", false);
  config.final_norm_eps = static_cast<float>(from.number_or("layer_norm_eps", 1e-5));
  if (config.hidden_size % config.n_heads != 0) {
    fail("{}: hidden_size {} is not a multiple of num_attention_heads {}", path, config.hidden_size, config.n_heads);
  }
  config.head_dim = config.hidden_size / config.n_heads;
  LayerSpec layer;
  layer.norm_eps = config.final_norm_eps;
  layer.parallel = from.flag_or("use_parallel_residual", true);
  const bool attention_bias = from.flag_or("attention_bias", true);
  layer.biases = {attention_bias, attention_bias, attention_bias, attention_bias, true, true};
  layer.activation = from.activation("hidden_act", "gelu");
  layer.intermediate_size = from.size("intermediate_size");
  layer.rope = from.rope(config.head_dim, {.max_positions = config.max_positions, .partial = 0.25});
  config.set_layers(from.size("num_hidden_layers", kMaxLayers), layer);
  check_config(config, path);
  return config;
}

/// The file has, head by head, that head's query, key and value rows; the decoder wants all queries, all keys, all
/// values.
std::int64_t source_row(const ModelConfig& config, std::int64_t row) {
  const std::int64_t d = config.head_dim;
  const std::int64_t part = row / config.hidden_size;
  const std::int64_t head = row % config.hidden_size / d;
  return (head * 3 + part) * d + row % d;
}

/// Buffers that published checkpoints carry along with their weights.
bool is_buffer(std::string_view name) {
  return name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") ||
         name.ends_with("rotary_emb.inv_freq");
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kGptNeox.gguf_name);
  LayerSpec layer;
  layer.activation = Activation::gelu_erf;
  layer.parallel = from.number("use_parallel_residual").value_or(1) != 0;
  ModelConfig config = decoder_from_gguf(from, kGptNeox.model_type, layer, planned);
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames gpt_neox_names() {
  TensorNames names;
  names.base_prefix = "gpt_neox.";
  names.embedding = "gpt_neox.embed_in";
  names.final_norm = "gpt_neox.final_layer_norm";
  names.output = "embed_out";
  names.layer = "gpt_neox.layers.{}.";
  names.attention_norm = "input_layernorm";
  names.mlp_norm = "post_attention_layernorm";
  names.qkv = "attention.query_key_value";
  names.qkv_row = source_row;
  names.attention_out = "attention.dense";
  names.up = "mlp.dense_h_to_4h";
  names.down = "mlp.dense_4h_to_h";
  names.is_buffer = is_buffer;
  return names;
}

}  // namespace

const Architecture kGptNeox = {"gpt_neox",       "gptneox",        config_from_json,
                               config_from_gguf, gpt_neox_names(), gguf_names()};

}  // namespace kvpress
