#include "model/decoder_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "model/gguf_rope.h"
#include "tokenizer/end_tokens.h"

namespace kvpress {

LayerSpec llama_layer() {
  LayerSpec layer;
  layer.norm = NormKind::rms_norm;
  layer.gated = true;
  layer.activation = Activation::silu;
  return layer;
}

ModelConfig decoder_from_json(const JsonConfig& from, std::string_view architecture, const LayerSpec& traits,
                              const DecoderDefaults& defaults) {
  const std::string& path = from.path();
  ModelConfig config;
  config.architecture = architecture;
  config.final_norm = traits.norm;
  config.hidden_size = from.size("hidden_size");
  config.n_heads = from.size("num_attention_heads");
  const std::int64_t default_kv =
      defaults.n_kv_heads > 0 && !from.is_null("num_key_value_heads") ? defaults.n_kv_heads : config.n_heads;
  config.n_kv_heads = from.size_or("num_key_value_heads", default_kv);
  const std::int64_t default_dim = defaults.head_dim > 0 && !from.is_null("head_dim")
                                       ? defaults.head_dim
                                       : std::max<std::int64_t>(1, config.hidden_size / config.n_heads);
  config.head_dim = from.size_or("head_dim", default_dim);
  config.vocab_size = from.size("vocab_size", kMaxVocabulary);
  config.max_positions = from.size_or("max_position_embeddings", defaults.max_positions, kMaxVocabulary);
  config.final_norm_eps = static_cast<float>(from.number_or("rms_norm_eps", defaults.norm_eps));
  config.tied_output = from.flag_or("tie_word_embeddings", defaults.tied_output);
  LayerSpec layer = traits;
  const std::string& key = defaults.activation_key;
  if (from.has(key) && from.activation(key, "") != defaults.activation) {
    fail("{}: '{}' is '{}'; only {} gates are known for {}", path, key, printable(from.text_or(key, "")),
         defaults.activation == Activation::silu ? "silu" : "gelu_pytorch_tanh", architecture);
  }
  layer.activation = defaults.activation;
  layer.norm_eps = config.final_norm_eps;
  layer.intermediate_size = from.size("intermediate_size");
  if (from.flag_or("attention_bias", defaults.attention_bias)) {
    layer.biases.query = layer.biases.key = layer.biases.value = layer.biases.attention_out = true;
  }
  layer.rope = from.rope(config.head_dim, {.max_positions = config.max_positions, .base = defaults.rope_base},
                         defaults.rope_layer_type);
  config.set_layers(from.size("num_hidden_layers", kMaxLayers), layer);
  check_config(config, path);
  return config;
}

void read_windows(const JsonConfig& from, ModelConfig& config, std::int64_t default_window,
                  const std::function<bool(std::int64_t layer)>& slides) {
  const std::int64_t window =
      from.is_null("sliding_window") ? 0 : from.size_or("sliding_window", default_window, kMaxVocabulary);
  const auto types = from.texts("layer_types");
  if (types && std::ssize(*types) != config.n_layers) {
    fail("{}: 'layer_types' has {} layers, 'num_hidden_layers' is {}", from.path(), types->size(), config.n_layers);
  }
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    bool has_window = slides(l);
    if (types) {
      const std::string& type = (*types)[static_cast<std::size_t>(l)];
      if (type != "full_attention" && type != "sliding_attention") {
        fail("{}: 'layer_types' has '{}'; known: full_attention, sliding_attention", from.path(), printable(type));
      }
      has_window = type == "sliding_attention";
      if (has_window && window == 0) fail("{}: 'layer_types' has windows, but 'sliding_window' is null", from.path());
    }
    config.layers[l].window = has_window ? window : 0;
  }
}

void read_qwen_windows(const JsonConfig& from, ModelConfig& config) {
  const bool windows = from.flag_or("use_sliding_window", false);
  const std::int64_t first = from.count_or("max_window_layers", 28);
  read_windows(from, config, 4096, [&](std::int64_t l) { return windows && l >= first; });
}

namespace {

/// A layer has the biases that the file has.
void read_biases(const GgufFile& file, ModelConfig& config) {
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const auto has = [&](std::string_view name) {
      return file.find(fmt::format("blk.{}.{}.bias", l, name)) != nullptr;
    };
    BiasSpec& biases = config.layers[l].biases;
    biases.query = has("attn_q") || has("attn_qkv");
    biases.key = has("attn_k") || has("attn_qkv");
    biases.value = has("attn_v") || has("attn_qkv");
    biases.attention_out = has("attn_output");
    biases.mlp_in = has("ffn_gate") || has("ffn_up") || has("ffn_gate_exps");
    biases.mlp_out = has("ffn_down") || has("ffn_down_exps");
  }
}

void read_experts(GgufConfig& from, ModelConfig& config) {
  const std::int64_t n = from.number("expert_count").value_or(0) == 0 ? 0 : from.size("expert_count", kMaxSize);
  if (n == 0) {
    from.require("expert_used_count", 0);
    return;
  }
  ExpertSpec experts;
  experts.n = n;
  experts.n_used = from.size("expert_used_count", kMaxSize);
  experts.router_bias = from.file().find("blk.0.ffn_gate_inp.bias") != nullptr;
  from.require("expert_shared_count", 0);
  from.require("expert_group_count", 0);
  from.require("expert_group_used_count", 0);
  const std::int64_t inner =
      from.size_or("expert_feed_forward_length", kMaxSize, config.layers.front().intermediate_size);
  set_experts(config, experts, inner, [&](std::int64_t l) {
    return from.file().find(fmt::format("blk.{}.ffn_gate_inp.weight", l)) != nullptr;
  });
  const auto is_routed = [](const LayerSpec& it) { return it.feed_forward == FeedForwardKind::experts; };
  if (std::none_of(config.layers.begin(), config.layers.end(), is_routed)) {
    fail("{}: metadata {} is {}, but no layer has a router (ffn_gate_inp.weight)", from.path(),
         from.full("expert_count"), n);
  }
}

}  // namespace

ModelConfig decoder_from_gguf(GgufConfig& from, std::string_view architecture, LayerSpec layer, std::int64_t planned) {
  const GgufFile& file = from.file();
  ModelConfig config;
  config.architecture = architecture;
  config.final_norm = layer.norm;
  config.hidden_size = from.size("embedding_length", kMaxSize);
  config.n_heads = from.size("attention.head_count", kMaxSize);
  config.n_kv_heads = from.size_or("attention.head_count_kv", kMaxSize, config.n_heads);
  config.head_dim =
      from.size_or("attention.key_length", kMaxSize, std::max<std::int64_t>(1, config.hidden_size / config.n_heads));
  from.require("attention.value_length", static_cast<double>(config.head_dim));
  from.require("attention.causal", 1);
  layer.intermediate_size = from.size("feed_forward_length", kMaxSize);
  config.max_positions = from.size("context_length", kMaxVocabulary);
  const char* const eps_key =
      layer.norm == NormKind::layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
  const auto eps = from.number(eps_key);
  if (!eps) fail("{}: metadata {} is missing", file.path(), from.full(eps_key));
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
  read_experts(from, config);
  return config;
}

void finish_gguf(const GgufConfig& from, ModelConfig& config, std::initializer_list<std::string_view> harmless) {
  config.eos_ids = gguf_end_tokens(from.file());
  std::vector<std::string_view> known = {"vocab_size", "tensor_data_layout", "attention.layer_norm_epsilon"};
  known.insert(known.end(), harmless);
  from.refuse_unread(known);
  check_config(config, from.path());
}

ModelConfig plain_decoder_from_gguf(const GgufFile& file, std::string_view gguf_name, std::string_view architecture,
                                    const LayerSpec& layer, std::int64_t planned) {
  GgufConfig from(file, gguf_name);
  ModelConfig config = decoder_from_gguf(from, architecture, layer, planned);
  finish_gguf(from, config);
  return config;
}

void require_whole_heads_turn(const GgufConfig& from, const ModelConfig& config) {
  const std::int64_t rotary = config.layers.front().rope.rotary_dim();
  if (rotary == config.head_dim) return;
  fail("{}: metadata {} is {}, but heads have {} channels", from.path(), from.full("rope.dimension_count"), rotary,
       config.head_dim);
}

void read_windows(GgufConfig& from, ModelConfig& config, std::int64_t pattern) {
  const bool has = from.number("attention.sliding_window").value_or(0) != 0;
  const std::int64_t window = has ? from.size("attention.sliding_window", kMaxVocabulary) : 0;
  const auto given = from.integers("attention.sliding_window_pattern");
  const bool is_list = given.size() > 1;
  if (is_list && std::ssize(given) != config.n_layers) {
    fail("{}: metadata {} has {} layers, the model has {}", from.path(), from.full("attention.sliding_window_pattern"),
         given.size(), config.n_layers);
  }
  if (given.size() == 1) pattern = std::max<std::int64_t>(1, given.front());
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    const bool slides = is_list ? given[static_cast<std::size_t>(l)] != 0 : (l + 1) % pattern != 0;
    config.layers[l].window = slides ? window : 0;
  }
}

void set_experts(ModelConfig& config, const ExpertSpec& experts, std::int64_t intermediate_size,
                 const std::function<bool(std::int64_t layer)>& routed) {
  config.experts = experts;
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    if (!routed(l)) continue;
    config.layers[l].feed_forward = FeedForwardKind::experts;
    config.layers[l].intermediate_size = intermediate_size;
  }
}

}  // namespace kvpress
