// gpt-oss (https://arxiv.org/abs/2508.10925): experts with a limited gate and biases, a window in every other layer, a
// learned term (sink) in each softmax of attention, YaRN.
#include "model/architecture.h"
#include "model/decoder_config.h"
#include "model/gguf_rope.h"

namespace kvpress {
namespace {

constexpr float kGateLimit = 7.0f;

bool slides(std::int64_t layer) { return layer % 2 == 0; }

LayerSpec gpt_oss_layer() {
  LayerSpec layer = llama_layer();
  layer.attention_sinks = true;
  layer.gate_limit = kGateLimit;
  layer.biases.mlp_in = layer.biases.mlp_out = true;
  return layer;
}

/// Which tensors are in MXFP4 the file says itself.
void check_quantization(const JsonConfig& from) {
  if (!from.has("quantization_config")) return;
  const JsonConfig quantization = from.object("quantization_config");
  if (quantization.text_or("quant_method", "") != "mxfp4") {
    quantization.fail_key("quant_method", "mxfp4; weights quantized otherwise are not supported");
  }
  quantization.texts("modules_to_not_convert");
  quantization.flag_or("dequantize", false);
}

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config = decoder_from_json(from, kGptOss.model_type, gpt_oss_layer(),
                                         {.n_kv_heads = 8,
                                          .head_dim = 64,
                                          .max_positions = 131072,
                                          .norm_eps = 1e-5,
                                          .attention_bias = true,
                                          .rope_base = 150000.0});
  if (from.number_or("swiglu_limit", kGateLimit) != kGateLimit) from.fail_key("swiglu_limit", "7");
  from.size_or("initial_context_length", 4096, kMaxVocabulary);  // rope_parameters has it, too
  from.size_or("experts_per_token", 4);                          // num_experts_per_tok's old name
  check_quantization(from);
  ExpertSpec experts;
  experts.n = from.size_or("num_local_experts", 128);
  experts.n_used = from.size_or("num_experts_per_tok", 4);
  experts.router_bias = true;
  set_experts(config, experts, config.layers.front().intermediate_size, [](std::int64_t) { return true; });
  read_windows(from, config, 128, slides);
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kGptOss.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kGptOss.model_type, gpt_oss_layer(), planned);
  // llama.cpp rounds YaRN's range of frequencies; the model was trained without, and its config.json says so.
  const RopeSpec rope = gguf_rope(from, config.head_dim, planned, false);
  for (LayerSpec& it : config.layers) it.rope = rope;
  read_windows(from, config, 2);
  from.require("rope.freq_base_swa", from.number("rope.freq_base").value_or(10000.0));
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames gpt_oss_names() {
  TensorNames names = transformers_names();
  names.sinks = "self_attn.sinks";
  names.router = "mlp.router";
  names.experts_inputs_first = true;
  names.experts_gate_up = "mlp.experts.gate_up_proj";
  names.experts_gate_up_bias = "mlp.experts.gate_up_proj_bias";
  names.experts_down = "mlp.experts.down_proj";
  names.experts_down_bias = "mlp.experts.down_proj_bias";
  return names;
}

constexpr TensorNames gpt_oss_gguf_names() {
  TensorNames names = gguf_names();
  names.mlp_norm = "post_attention_norm";
  return names;
}

}  // namespace

const Architecture kGptOss = {"gpt_oss",        "gpt-oss",       config_from_json,
                              config_from_gguf, gpt_oss_names(), gpt_oss_gguf_names()};

}  // namespace kvpress
