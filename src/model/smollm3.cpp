// SmolLM 3 (https://huggingface.co/blog/smollm3): Llama of which every fourth layer has no rotary positions
// (https://arxiv.org/abs/2501.18795).
#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  ModelConfig config =
      decoder_from_json(from, kSmolLm3.model_type, llama_layer(),
                        {.n_kv_heads = 4, .max_positions = 32768, .tied_output = true, .rope_base = 2e6});
  if (from.flag_or("mlp_bias", false)) {
    for (LayerSpec& it : config.layers) it.biases.mlp_in = it.biases.mlp_out = true;
  }
  const std::int64_t interval = from.size_or("no_rope_layer_interval", 4);
  const auto turns = from.counts("no_rope_layers");  // 1 where there are rotary positions
  if (turns && std::ssize(*turns) != config.n_layers) {
    fail("{}: 'no_rope_layers' has {} layers, 'num_hidden_layers' is {}", from.path(), turns->size(), config.n_layers);
  }
  const auto has_rope = [&](std::int64_t l) {
    return turns ? (*turns)[static_cast<std::size_t>(l)] != 0 : (l + 1) % interval != 0;
  };
  const bool windows = from.flag_or("use_sliding_window", false);
  read_windows(from, config, 0, [&](std::int64_t l) { return windows && !has_rope(l); });
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    if (!has_rope(l)) config.layers[l].rope = {};
  }
  return config;
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kSmolLm3.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kSmolLm3.model_type, llama_layer(), planned);
  require_whole_heads_turn(from, config);
  for (std::int64_t l = 3; l < config.n_layers; l += 4) config.layers[l].rope = {};
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames smollm3_gguf_names() {
  TensorNames names = gguf_names();
  names.neighbours_turn = true;
  return names;
}

}  // namespace

const Architecture kSmolLm3 = {"smollm3",           "smollm3", config_from_json, config_from_gguf, transformers_names(),
                               smollm3_gguf_names()};

}  // namespace kvpress
