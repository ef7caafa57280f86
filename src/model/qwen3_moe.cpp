// Qwen 3 with experts (https://arxiv.org/abs/2505.09388) in all layers, or in every nth but for some.
#include <algorithm>
#include <vector>

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
  ModelConfig config =
      decoder_from_json(from, kQwen3Moe.model_type, qwen3_layer(), {.n_kv_heads = 4, .max_positions = 32768});
  const bool windows = from.flag_or("use_sliding_window", false);
  read_windows(from, config, 4096, [&](std::int64_t) { return windows; });
  ExpertSpec experts;
  experts.n = from.size_or("num_experts", from.size_or("num_local_experts", 128));  // transformers writes either
  experts.n_used = from.size_or("num_experts_per_tok", 8);
  experts.normalized = from.flag_or("norm_topk_prob", false);
  const std::int64_t step = from.size_or("decoder_sparse_step", 1);
  const auto dense = from.counts("mlp_only_layers").value_or(std::vector<std::int64_t>{});
  set_experts(config, experts, from.size_or("moe_intermediate_size", 768), [&](std::int64_t l) {
    return (l + 1) % step == 0 && std::find(dense.begin(), dense.end(), l) == dense.end();
  });
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  return plain_decoder_from_gguf(file, kQwen3Moe.gguf_name, kQwen3Moe.model_type, qwen3_layer(), planned);
}

constexpr TensorNames qwen3_moe_names() {
  TensorNames names = transformers_names();
  names.router = "mlp.gate";
  names.expert_gate = "mlp.experts.{}.gate_proj";
  names.expert_up = "mlp.experts.{}.up_proj";
  names.expert_down = "mlp.experts.{}.down_proj";
  // As transformers 5 holds them.
  names.experts_gate_up = "mlp.experts.gate_up_proj";
  names.experts_down = "mlp.experts.down_proj";
  return names;
}

}  // namespace

const Architecture kQwen3Moe = {"qwen3_moe",      "qwen3moe",        config_from_json,
                                config_from_gguf, qwen3_moe_names(), gguf_names()};

}  // namespace kvpress
