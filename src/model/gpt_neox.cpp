// GPT-NeoX (https://arxiv.org/abs/2204.06745) as transformers saves it: Pythia and its kin.
#include <fmt/format.h>

#include <string>

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/config_json.h"

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

DecoderWeights weights(const ModelConfig& config, const TensorFile& file, bool /*is_gguf*/, const Numerics& numerics) {
  WeightReader reader(file, numerics, "gpt_neox.");
  const std::int64_t hidden = config.hidden_size;
  DecoderWeights result;
  result.embedding = reader.tensor("gpt_neox.embed_in.weight", {config.vocab_size, hidden});
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const std::string prefix = fmt::format("gpt_neox.layers.{}.", l);
    const LayerSpec& spec = config.layer(l);
    LayerWeights layer;
    layer.attention_norm = reader.norm(prefix + "input_layernorm", hidden, spec.norm);
    layer.mlp_norm = reader.norm(prefix + "post_attention_layernorm", hidden, spec.norm);

    const TensorInfo& qkv = reader.tensor(prefix + "attention.query_key_value.weight", {3 * hidden, hidden});
    RowMap rows;
    for (std::int64_t r = 0; r < 3 * hidden; ++r) rows.emplace_back(&qkv, source_row(config, r));
    std::vector<float> bias;
    if (spec.biases.in_qkv()) {
      const auto stored = reader.vector(prefix + "attention.query_key_value.bias", 3 * hidden);
      for (std::int64_t r = 0; r < 3 * hidden; ++r) {
        bias.push_back(stored[source_row(config, r)]);
      }
    }
    layer.qkv = reader.linear(rows, hidden, bias);
    layer.attention_out = reader.linear(prefix + "attention.dense", hidden, hidden, spec.biases.attention_out);
    layer.attention_out_rows = reader.rows(prefix + "attention.dense", hidden, hidden);
    layer.mlp_in = reader.linear(prefix + "mlp.dense_h_to_4h", spec.intermediate_size, hidden, spec.biases.mlp_in,
                                 spec.activation);
    layer.mlp_out = reader.linear(prefix + "mlp.dense_4h_to_h", hidden, spec.intermediate_size, spec.biases.mlp_out);
    result.layers.push_back(std::move(layer));
  }
  result.final_norm = reader.norm("gpt_neox.final_layer_norm", hidden, config.final_norm);
  const bool tied = config.tied_output && !reader.has("embed_out.weight");
  result.output = reader.output(tied ? "gpt_neox.embed_in" : "embed_out", config.vocab_size, hidden);
  reader.refuse_unused(is_buffer);
  return result;
}

}  // namespace

const Architecture kGptNeox = {"gpt_neox", "", config_from_json, nullptr, weights};

}  // namespace kvpress
