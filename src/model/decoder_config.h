// What the configurations of most decoders say by the same keys, for architectures to read and to add their traits to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "kvpress/model/config.h"
#include "model/config_gguf.h"
#include "model/config_json.h"

namespace kvpress {

/// A gated layer with RMSNorm before each part, as in Llama.
LayerSpec llama_layer();

/// Values of keys that a config.json leaves out.
struct DecoderDefaults {
  std::int64_t n_kv_heads = 0;  ///< 0: as many as query heads. A key that is null always means that
  std::int64_t head_dim = 0;    ///< 0: hidden_size / heads
  std::int64_t max_positions = 2048;
  double norm_eps = 1e-6;
  bool tied_output = false;
  bool attention_bias = false;
  double rope_base = 10000.0;
  std::string rope_layer_type = "";  ///< of models with several RoPEs, the one to read
  std::string activation_key = "hidden_act";
  Activation activation = Activation::silu;  ///< the only one, as a gate
};

/// A model of `layer`s by Llama's keys; `layer` gives what the keys do not.
ModelConfig decoder_from_json(const JsonConfig& from, std::string_view architecture, const LayerSpec& layer,
                              const DecoderDefaults& defaults = {});

/// Windows by 'sliding_window' and 'layer_types'. `slides` says which layers have one where there are no 'layer_types'.
/// Refuses lists of another length and other types of layers.
void read_windows(const JsonConfig& from, ModelConfig& config, std::int64_t default_window,
                  const std::function<bool(std::int64_t layer)>& slides);

/// Qwen's: with 'use_sliding_window', from layer 'max_window_layers' on.
void read_qwen_windows(const JsonConfig& from, ModelConfig& config);

/// The same from a GGUF by the keys that all its architectures share. Layers have the biases that the file has, and
/// experts where it has some.
ModelConfig decoder_from_gguf(GgufConfig& from, std::string_view architecture, LayerSpec layer, std::int64_t planned);
/// The end of reading a GGUF: end tokens, left-over keys (but for `harmless` ones), checks.
void finish_gguf(const GgufConfig& from, ModelConfig& config, std::initializer_list<std::string_view> harmless = {});

/// An architecture whose GGUF says no more than that.
ModelConfig plain_decoder_from_gguf(const GgufFile& file, std::string_view gguf_name, std::string_view architecture,
                                    const LayerSpec& layer, std::int64_t planned);

/// For files whose rows of queries and keys are stored for neighbouring channels, throughout each head.
void require_whole_heads_turn(const GgufConfig& from, const ModelConfig& config);

/// 'attention.sliding_window' for all layers but each `pattern`th, or for those that 'attention.sliding_window_pattern'
/// says.
void read_windows(GgufConfig& from, ModelConfig& config, std::int64_t pattern);

/// "num_experts" and its kin, for the layers that `routed` names.
void set_experts(ModelConfig& config, const ExpertSpec& experts, std::int64_t intermediate_size,
                 const std::function<bool(std::int64_t layer)>& routed);

}  // namespace kvpress
