// OPT (https://arxiv.org/abs/2205.01068): learned positions, of which the first two rows of the table are not used.
#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

constexpr std::int64_t kFirstRow = 2;

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config;
  config.architecture = kOpt.model_type;
  config.hidden_size = from.size("hidden_size");
  config.n_heads = config.n_kv_heads = from.size("num_attention_heads");
  config.vocab_size = from.size("vocab_size", kMaxVocabulary);
  config.max_positions = from.size_or("max_position_embeddings", 2048, kMaxSize);
  config.first_position_row = kFirstRow;
  config.learned_positions = config.max_positions + kFirstRow;
  config.tied_output = from.flag_or("tie_word_embeddings", true);
  if (config.hidden_size % config.n_heads != 0) {
    fail("{}: hidden_size {} is not a multiple of num_attention_heads {}", from.path(), config.hidden_size,
         config.n_heads);
  }
  config.head_dim = config.hidden_size / config.n_heads;
  if (from.size_or("word_embed_proj_dim", config.hidden_size) != config.hidden_size) {
    from.fail_key("word_embed_proj_dim", "hidden_size: projections of the embedding are not known here");
  }
  if (!from.flag_or("do_layer_norm_before", true)) from.fail_key("do_layer_norm_before", "true");
  if (from.flag_or("_remove_final_layer_norm", false)) from.fail_key("_remove_final_layer_norm", "false");
  if (!from.flag_or("layer_norm_elementwise_affine", true)) from.fail_key("layer_norm_elementwise_affine", "true");
  from.number("layerdrop");
  from.number("init_std");
  LayerSpec layer;
  const bool bias = from.flag_or("enable_bias", true);
  layer.biases = {bias, bias, bias, bias, bias, bias};
  layer.activation = from.activation("activation_function", "relu");
  layer.intermediate_size = from.size("ffn_dim");
  config.set_layers(from.size("num_hidden_layers", kMaxLayers), layer);
  check_config(config, from.path());
  return config;
}

constexpr TensorNames opt_names() {
  TensorNames names;
  names.base_prefix = "model.";
  names.embedding = "model.decoder.embed_tokens";
  names.positions = "model.decoder.embed_positions";
  names.final_norm = "model.decoder.final_layer_norm";
  names.output = "lm_head";
  names.layer = "model.decoder.layers.{}.";
  names.attention_norm = "self_attn_layer_norm";
  names.mlp_norm = "final_layer_norm";
  names.q = "self_attn.q_proj";
  names.k = "self_attn.k_proj";
  names.v = "self_attn.v_proj";
  names.attention_out = "self_attn.out_proj";
  names.up = "fc1";
  names.down = "fc2";
  return names;
}

}  // namespace

const Architecture kOpt = {"opt", "", config_from_json, nullptr, opt_names(), {}};

}  // namespace kvpress
