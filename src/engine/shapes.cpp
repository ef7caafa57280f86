#include "engine/shapes.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "kvpress/base/error.h"
#include "model/architecture.h"

namespace kvpress {
namespace {

struct Shape {
  std::string_view name;
  std::string_view config;  ///< what sets it in its published config.json
};

constexpr std::array kShapes = {
    Shape{"pythia-70m", R"({"model_type": "gpt_neox", "hidden_size": 512, "intermediate_size": 2048,
        "max_position_embeddings": 2048, "num_attention_heads": 8, "num_hidden_layers": 6, "vocab_size": 50304})"},
    Shape{"pythia-160m", R"({"model_type": "gpt_neox", "hidden_size": 768, "intermediate_size": 3072,
        "max_position_embeddings": 2048, "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 50304})"},
    Shape{"smollm2-135m", R"({"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
        "max_position_embeddings": 8192, "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
        "rms_norm_eps": 1e-05, "rope_theta": 100000, "tie_word_embeddings": true, "vocab_size": 49152})"},
    Shape{"llama3-8b", R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 8192, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "vocab_size": 128256})"},
    Shape{"qwen3-0.6b", R"({"model_type": "qwen3", "head_dim": 128, "hidden_size": 1024, "intermediate_size": 3072,
        "max_position_embeddings": 40960, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000, "tie_word_embeddings": true, "vocab_size": 151936})"},
    Shape{"gemma3-270m", R"({"model_type": "gemma3_text", "head_dim": 256, "hidden_size": 640,
        "intermediate_size": 2048, "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 18,
        "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
        "rope_theta": 1000000.0, "sliding_window": 512, "vocab_size": 262144})"},
    Shape{"qwen3-30b-a3b", R"({"model_type": "qwen3_moe", "decoder_sparse_step": 1, "head_dim": 128,
        "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960, "moe_intermediate_size": 768,
        "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "vocab_size": 151936})"},
    Shape{"gpt-oss-20b", R"({"model_type": "gpt_oss", "attention_bias": true, "head_dim": 64, "hidden_size": 2880,
        "intermediate_size": 2880, "max_position_embeddings": 131072, "num_attention_heads": 64,
        "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
        "rms_norm_eps": 1e-05, "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
        "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false}, "rope_theta": 150000,
        "sliding_window": 128, "vocab_size": 201088})"},
};

}  // namespace

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  for (const Shape& it : kShapes) names.push_back(it.name);
  return names;
}

ModelConfig named_shape(const std::string& name) {
  const auto found = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& it) { return it.name == name; });
  if (found == kShapes.end()) {
    fail_usage("shape '{}' is not known; known: {}", name, fmt::join(shape_names(), ", "));
  }
  const std::string path = "shape " + name;
  const JsonConfig from(nlohmann::json::parse(found->config), path);
  const auto& architecture = architecture_by_model_type(*from.text("model_type"), path);
  ModelConfig config = architecture.config_from_json(from);
  from.refuse_unread();
  return config;
}

}  // namespace kvpress
