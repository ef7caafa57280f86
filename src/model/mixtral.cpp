// Mixtral (https://arxiv.org/abs/2401.04088) as transformers saves it: Mistral with experts in every layer.
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kMixtral.model_type, llama_layer(),
                        {.n_kv_heads = 8, .max_positions = 4096 * 32, .norm_eps = 1e-5, .rope_base = 1e6});
  read_windows(from, config, 0, [](std::int64_t) { return true; });
  ExpertSpec experts;
  experts.n = from.size_or("num_local_experts", 8);
  experts.n_used = from.size_or("num_experts_per_tok", 2);
  set_experts(config, experts, config.layers.front().intermediate_size, [](std::int64_t) { return true; });
  return config;
}

constexpr TensorNames mixtral_names() {
  TensorNames names = transformers_names();
  names.router = "block_sparse_moe.gate";
  names.expert_gate = "block_sparse_moe.experts.{}.w1";
  names.expert_up = "block_sparse_moe.experts.{}.w3";
  names.expert_down = "block_sparse_moe.experts.{}.w2";
  return names;
}

}  // namespace

const Architecture kMixtral = {"mixtral", "", config_from_json, nullptr, mixtral_names(), {}};

}  // namespace kvpress
