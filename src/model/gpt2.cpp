// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, one key and value head a query head.
#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

LayerSpec gpt2_layer() {
  LayerSpec layer;
  layer.biases = {true, true, true, true, true, true};
  layer.activation = Activation::gelu_tanh;
  return layer;
}

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config;
  config.architecture = kGpt2.model_type;
  config.hidden_size = from.size("n_embd");
  config.n_heads = config.n_kv_heads = from.size("n_head");
  config.vocab_size = from.size("vocab_size", kMaxVocabulary);
  config.max_positions = config.learned_positions = from.size_or("n_positions", 1024, kMaxSize);
  from.size_or("n_ctx", 1024, kMaxSize);  // n_positions' old name
  config.tied_output = from.flag_or("tie_word_embeddings", true);
  config.final_norm_eps = static_cast<float>(from.number_or("layer_norm_epsilon", 1e-5));
  if (config.hidden_size % config.n_heads != 0) {
    fail("{}: n_embd {} is not a multiple of n_head {}", from.path(), config.hidden_size, config.n_heads);
  }
  config.head_dim = config.hidden_size / config.n_heads;
  LayerSpec layer = gpt2_layer();
  layer.norm_eps = config.final_norm_eps;
  layer.activation = from.activation("activation_function", "gelu_new");
  layer.intermediate_size = from.size_or("n_inner", 4 * config.hidden_size);
  if (!from.flag_or("scale_attn_weights", true)) layer.attention_scale = 1.0f;
  if (from.flag_or("scale_attn_by_inverse_layer_idx", false)) {
    from.fail_key("scale_attn_by_inverse_layer_idx", "false");
  }
  from.flag_or("reorder_and_upcast_attn", false);  // float32 in either case
  for (const char* key :
       {"summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout"}) {
    from.has(key);  // of models that classify
  }
  config.set_layers(from.size("n_layer", kMaxLayers), layer);
  check_config(config, from.path());
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kGpt2.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kGpt2.model_type, gpt2_layer(), planned);
  config.learned_positions = config.max_positions;
  for (LayerSpec& it : config.layers) it.rope = {};
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames gpt2_names() {
  TensorNames names;
  names.base_prefix = "transformer.";
  names.embedding = "transformer.wte";
  names.positions = "transformer.wpe";
  names.final_norm = "transformer.ln_f";
  names.output = "lm_head";
  names.layer = "transformer.h.{}.";
  names.attention_norm = "ln_1";
  names.mlp_norm = "ln_2";
  names.qkv = "attn.c_attn";
  names.attention_out = "attn.c_proj";
  names.up = "mlp.c_fc";
  names.down = "mlp.c_proj";
  names.inputs_first = true;
  names.is_buffer = [](std::string_view name) { return name.ends_with(".attn.bias") || name.ends_with("masked_bias"); };
  return names;
}

}  // namespace

const Architecture kGpt2 = {"gpt2", "gpt2", config_from_json, config_from_gguf, gpt2_names(), gguf_names()};

}  // namespace kvpress
