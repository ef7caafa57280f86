// Gemma 2 (https://arxiv.org/abs/2408.00118): norms before and after each part, a window in every other layer, and soft
// caps of attention and of logits.
#include <cmath>

#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

bool slides(std::int64_t layer) { return layer % 2 == 0; }

/// `norm`: files of transformers hold w of 1 + w, a GGUF the sum.
LayerSpec gemma2_layer(NormKind norm) {
  LayerSpec layer = llama_layer();
  layer.norm = norm;
  layer.norm_place = NormPlace::both;
  return layer;
}

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kGemma2.model_type, gemma2_layer(NormKind::rms_norm_plus_one),
                        {.n_kv_heads = 4,
                         .head_dim = 256,
                         .max_positions = 8192,
                         .tied_output = true,
                         .activation_key = from.has("hidden_activation") ? "hidden_activation" : "hidden_act",
                         .activation = Activation::gelu_tanh});
  from.text("hidden_act");  // old files have both, and mean the other
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.logit_soft_cap = from.cap("final_logit_softcapping", 30.0);
  const double queries = from.positive_or("query_pre_attn_scalar", 256.0);
  for (LayerSpec& it : config.layers) {
    it.attention_soft_cap = from.cap("attn_logit_softcapping", 50.0);
    it.attention_scale = static_cast<float>(1.0 / std::sqrt(queries));
  }
  read_windows(from, config, 4096, slides);
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kGemma2.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kGemma2.model_type, gemma2_layer(NormKind::rms_norm), planned);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.logit_soft_cap = from.cap("final_logit_softcapping", 30.0);
  const float attention_cap = from.cap("attn_logit_softcapping", 50.0);
  for (LayerSpec& it : config.layers) {
    it.activation = Activation::gelu_tanh;
    it.attention_soft_cap = attention_cap;
    // The scale is not in the file: of 46 layers is the model of 27 billion, whose scale goes by hidden_size / heads.
    if (config.n_layers == 46) {
      it.attention_scale =
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.hidden_size) / config.n_heads));
    }
  }
  read_windows(from, config, 2);
  from.require("rope.freq_base_swa", from.number("rope.freq_base").value_or(10000.0));
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames gemma2_names() {
  TensorNames names = transformers_names();
  names.attention_post_norm = "post_attention_layernorm";
  names.mlp_norm = "pre_feedforward_layernorm";
  names.mlp_post_norm = "post_feedforward_layernorm";
  return names;
}

}  // namespace

const Architecture kGemma2 = {"gemma2", "gemma2", config_from_json, config_from_gguf, gemma2_names(), gguf_names()};

}  // namespace kvpress
