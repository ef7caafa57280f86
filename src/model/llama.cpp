// Llama (https://arxiv.org/abs/2302.13971, https://arxiv.org/abs/2407.21783), from transformers' files or from a GGUF.
#include "model/llama.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/formats/gguf.h"
#include "model/architecture.h"
#include "model/config_gguf.h"
#include "model/config_json.h"
#include "model/gguf_rope.h"
#include "tokenizer/end_tokens.h"

namespace kvpress {
namespace {

/// What all layers have in common, whatever the file.
LayerSpec llama_layer() {
  LayerSpec layer;
  layer.norm = NormKind::rms_norm;
  layer.gated = true;
  layer.activation = Activation::silu;
  return layer;
}

ModelConfig llama_model() {
  ModelConfig config;
  config.architecture = kLlama.model_type;
  config.final_norm = NormKind::rms_norm;
  return config;
}

}  // namespace

ModelConfig llama_config_from_json(const JsonConfig& from) {
  const std::string& path = from.path();
  ModelConfig config = llama_model();
  config.hidden_size = from.size("hidden_size");
  config.n_heads = from.size("num_attention_heads");
  config.n_kv_heads = from.size_or("num_key_value_heads", config.n_heads);
  config.head_dim = from.size_or("head_dim", std::max<std::int64_t>(1, config.hidden_size / config.n_heads));
  config.vocab_size = from.size("vocab_size", kMaxVocabulary);
  config.max_positions = from.size_or("max_position_embeddings", 2048, kMaxVocabulary);
  config.final_norm_eps = static_cast<float>(from.number_or("rms_norm_eps", 1e-6));
  config.tied_output = from.flag_or("tie_word_embeddings", false);
  if (from.activation("hidden_act", "silu") != Activation::silu) {
    fail("{}: 'hidden_act' is '{}'; only silu gates are known", path, from.text_or("hidden_act", ""));
  }
  LayerSpec layer = llama_layer();
  layer.norm_eps = config.final_norm_eps;
  const bool attention = from.flag_or("attention_bias", false);
  const bool mlp = from.flag_or("mlp_bias", false);
  layer.biases = {attention, attention, attention, attention, mlp, mlp};
  layer.intermediate_size = from.size("intermediate_size");
  layer.rope = from.rope(config.head_dim, {.max_positions = config.max_positions});
  config.set_layers(from.size("num_hidden_layers", kMaxLayers), layer);
  check_config(config, path);
  return config;
}

namespace {

/// A layer has the biases that the file has.
void read_biases(const GgufFile& file, ModelConfig& config) {
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const auto has = [&](std::string_view name) {
      return file.find(fmt::format("blk.{}.{}.bias", l, name)) != nullptr;
    };
    BiasSpec& biases = config.layers[l].biases;
    biases.query = has("attn_q");
    biases.key = has("attn_k");
    biases.value = has("attn_v");
    biases.attention_out = has("attn_output");
    biases.mlp_in = has("ffn_gate") || has("ffn_up");
    biases.mlp_out = has("ffn_down");
  }
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kLlama.gguf_name);
  ModelConfig config = llama_model();
  LayerSpec layer = llama_layer();
  config.hidden_size = from.size("embedding_length", kMaxSize);
  config.n_heads = from.size("attention.head_count", kMaxSize);
  config.n_kv_heads = from.size_or("attention.head_count_kv", kMaxSize, config.n_heads);
  config.head_dim =
      from.size_or("attention.key_length", kMaxSize, std::max<std::int64_t>(1, config.hidden_size / config.n_heads));
  from.require("attention.value_length", static_cast<double>(config.head_dim));
  from.require("attention.causal", 1);
  from.require("expert_count", 0);
  from.require("expert_used_count", 0);
  layer.intermediate_size = from.size("feed_forward_length", kMaxSize);
  config.max_positions = from.size("context_length", kMaxVocabulary);
  const auto eps = from.number("attention.layer_norm_rms_epsilon");
  if (!eps) fail("{}: metadata {} is missing", file.path(), from.full("attention.layer_norm_rms_epsilon"));
  layer.norm_eps = static_cast<float>(*eps);
  config.final_norm_eps = layer.norm_eps;
  const TensorInfo& embedding = file.at("token_embd.weight");
  if (embedding.shape.size() != 2) fail("{}: tensor token_embd.weight is not a matrix", file.path());
  config.vocab_size = embedding.shape[0];
  if (config.vocab_size > kMaxVocabulary) fail("{}: tensor token_embd.weight has too many rows", file.path());
  config.tied_output = file.find("output.weight") == nullptr;
  layer.rope = gguf_rope(from, config.head_dim, planned);
  config.set_layers(from.size("block_count", kMaxLayers), layer);
  read_biases(file, config);
  config.eos_ids = gguf_end_tokens(file);
  from.refuse_unread({"vocab_size", "tensor_data_layout", "use_parallel_residual", "attention.layer_norm_epsilon"});
  check_config(config, file.path());
  return config;
}

/// Where an architecture's tensors are in either kind of file.
struct Names {
  std::string_view embedding, final_norm, output, layer;
  std::string_view attention_norm, mlp_norm, q, k, v, attention_out, gate, up, down;
};

constexpr Names kTransformers = {"model.embed_tokens", "model.norm",       "lm_head",
                                 "model.layers.{}.",   "input_layernorm",  "post_attention_layernorm",
                                 "self_attn.q_proj",   "self_attn.k_proj", "self_attn.v_proj",
                                 "self_attn.o_proj",   "mlp.gate_proj",    "mlp.up_proj",
                                 "mlp.down_proj"};
constexpr Names kGguf = {"token_embd", "output_norm", "output",      "blk.{}.",  "attn_norm", "ffn_norm", "attn_q",
                         "attn_k",     "attn_v",      "attn_output", "ffn_gate", "ffn_up",    "ffn_down"};

/// GGUF stores the query and key rows of a head for rotation of neighbouring channels (2i, 2i + 1); the decoder rotates
/// i with i + d / 2. This gives the stored row of the decoder's row.
std::int64_t unpermuted_row(std::int64_t row, std::int64_t d) {
  const std::int64_t channel = row % d;
  return row - channel + (channel < d / 2 ? 2 * channel : 2 * (channel - d / 2) + 1);
}

/// One product of several tensors' rows one after another.
struct Stack {
  RowMap rows;
  std::vector<float> bias;  // zeros for a tensor that has none
  bool has_bias = false;

  void add(WeightReader& reader, const std::string& name, std::int64_t out, std::int64_t in, bool with_bias,
           std::int64_t permuted_head_dim = 0) {
    const TensorInfo& tensor = reader.tensor(name + ".weight", {out, in});
    const auto source = [&](std::int64_t r) {
      return permuted_head_dim > 0 ? unpermuted_row(r, permuted_head_dim) : r;
    };
    for (std::int64_t r = 0; r < out; ++r) rows.emplace_back(&tensor, source(r));
    const std::size_t before = bias.size();
    bias.resize(before + static_cast<std::size_t>(out), 0.0f);
    if (!with_bias) return;
    has_bias = true;
    const auto stored = reader.vector(name + ".bias", out);
    for (std::int64_t r = 0; r < out; ++r) {
      bias[before + static_cast<std::size_t>(r)] = stored[source(r)];
    }
  }
  Linear product(WeightReader& reader, std::int64_t in) const {
    return reader.linear(rows, in, has_bias ? bias : std::vector<float>{});
  }
};

}  // namespace

DecoderWeights llama_weights(const ModelConfig& config, const TensorFile& file, bool is_gguf,
                             const Numerics& numerics) {
  const Names& names = is_gguf ? kGguf : kTransformers;
  const auto named = [](std::string_view name) { return std::string(name); };
  WeightReader reader(file, numerics, is_gguf ? "" : "model.");
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t permuted = is_gguf ? config.head_dim : 0;
  DecoderWeights result;
  result.embedding = reader.tensor(named(names.embedding) + ".weight", {config.vocab_size, hidden});
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const std::string prefix = fmt::format(fmt::runtime(names.layer), l);
    const auto in_layer = [&](std::string_view name) { return prefix + named(name); };
    const LayerSpec& spec = config.layer(l);
    LayerWeights layer;
    layer.attention_norm = reader.norm(in_layer(names.attention_norm), hidden, spec.norm);
    layer.mlp_norm = reader.norm(in_layer(names.mlp_norm), hidden, spec.norm);
    Stack qkv;
    const std::int64_t q_rows = config.n_heads * config.head_dim;
    const std::int64_t kv_rows = config.n_kv_heads * config.head_dim;
    qkv.add(reader, in_layer(names.q), q_rows, hidden, spec.biases.query, permuted);
    qkv.add(reader, in_layer(names.k), kv_rows, hidden, spec.biases.key, permuted);
    qkv.add(reader, in_layer(names.v), kv_rows, hidden, spec.biases.value);
    layer.qkv = qkv.product(reader, hidden);
    layer.attention_out = reader.linear(in_layer(names.attention_out), hidden, q_rows, spec.biases.attention_out);
    layer.attention_out_rows = reader.rows(in_layer(names.attention_out), hidden, q_rows);
    Stack gate_up;
    for (const std::string_view name : {names.gate, names.up}) {
      // A GGUF may have the bias of one alone.
      const bool bias = spec.biases.mlp_in && (!is_gguf || reader.has(in_layer(name) + ".bias"));
      gate_up.add(reader, in_layer(name), spec.intermediate_size, hidden, bias);
    }
    layer.mlp_in = gate_up.product(reader, hidden);
    layer.mlp_out = reader.linear(in_layer(names.down), hidden, spec.intermediate_size, spec.biases.mlp_out);
    result.layers.push_back(std::move(layer));
  }
  result.final_norm = reader.norm(named(names.final_norm), hidden, config.final_norm);
  const bool tied = config.tied_output && !reader.has(named(names.output) + ".weight");
  result.output = reader.output(named(tied ? names.embedding : names.output), config.vocab_size, hidden);
  reader.refuse_unused(
      [](std::string_view name) { return name == "rope_freqs.weight" || name.ends_with("rotary_emb.inv_freq"); });
  return result;
}

const Architecture kLlama = {"llama", "llama", llama_config_from_json, config_from_gguf, llama_weights};

}  // namespace kvpress
