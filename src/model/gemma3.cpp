// Gemma 3 (https://arxiv.org/abs/2503.19786): Gemma 2 with norms of each head's queries and keys in place of soft caps,
// and five layers with a window, whose RoPE has a base of its own, to each layer without.
#include <cmath>
#include <string>

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

LayerSpec gemma3_layer(NormKind norm) {
  LayerSpec layer = llama_layer();
  layer.norm = norm;
  layer.norm_place = NormPlace::both;
  layer.query_norm = layer.key_norm = norm;
  return layer;
}

ModelConfig text_from_json(const JsonConfig& from, std::string_view model_type) {
  ModelConfig config =
      decoder_from_json(from, model_type, gemma3_layer(NormKind::rms_norm_plus_one),
                        {.n_kv_heads = 4,
                         .head_dim = 256,
                         .max_positions = 131072,
                         .tied_output = true,
                         .rope_base = 1e6,
                         .rope_layer_type = "full_attention",
                         .activation_key = from.has("hidden_activation") ? "hidden_activation" : "hidden_act",
                         .activation = Activation::gelu_tanh});
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.logit_soft_cap = from.cap("final_logit_softcapping", 0.0);
  const double queries = from.positive_or("query_pre_attn_scalar", 256.0);
  const RopeSpec local = from.rope(
      config.head_dim,
      {.max_positions = config.max_positions, .base = 10000.0, .base_key = "rope_local_base_freq", .scaled = false},
      "sliding_attention");
  const std::int64_t pattern = from.size_or("sliding_window_pattern", 6);
  read_windows(from, config, 4096, [&](std::int64_t l) { return (l + 1) % pattern != 0; });
  for (LayerSpec& it : config.layers) {
    it.attention_soft_cap = from.cap("attn_logit_softcapping", 0.0);
    it.attention_scale = static_cast<float>(1.0 / std::sqrt(queries));
    if (it.window > 0) it.rope = local;
  }
  return config;
}

ModelConfig config_from_json(const JsonConfig& from) { return text_from_json(from, kGemma3Text.model_type); }

/// Of the model that also sees pictures, what reads text.
ModelConfig config_of_text_part(const JsonConfig& from) {
  for (const char* key : {"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index",
                          "image_token_index", "tie_word_embeddings"}) {
    from.has(key);
  }
  if (!from.has("text_config")) fail("{}: 'text_config' is missing", from.path());
  return text_from_json(from.object("text_config"), kGemma3.model_type);
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kGemma3Text.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kGemma3Text.model_type, gemma3_layer(NormKind::rms_norm), planned);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.logit_soft_cap = from.cap("final_logit_softcapping", 0.0);
  constexpr std::int64_t kPattern = 6;
  read_windows(from, config, kPattern);
  const double window_base = from.number("rope.freq_base_swa").value_or(10000.0);
  for (LayerSpec& it : config.layers) {
    it.activation = Activation::gelu_tanh;
    if (it.window > 0) it.rope = {rope_frequencies(config.head_dim, window_base), 1.0f};
    // The scale is not in the file: of 62 layers is the model of 27 billion, whose scale goes by hidden_size / heads.
    if (config.n_layers == 62) {
      it.attention_scale =
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.hidden_size) / config.n_heads));
    }
  }
  finish_gguf(from, config, {"mm.tokens_per_image"});
  return config;
}

constexpr TensorNames gemma3_names() {
  TensorNames names = transformers_names();
  names.attention_post_norm = "post_attention_layernorm";
  names.mlp_norm = "pre_feedforward_layernorm";
  names.mlp_post_norm = "post_feedforward_layernorm";
  names.renamed = text_part_name;
  names.is_buffer = is_picture_part;
  return names;
}

}  // namespace

const Architecture kGemma3Text = {"gemma3_text",    "gemma3",       config_from_json,
                                  config_from_gguf, gemma3_names(), gguf_names()};
const Architecture kGemma3 = {"gemma3", "", config_of_text_part, nullptr, gemma3_names(), {}};

}  // namespace kvpress
