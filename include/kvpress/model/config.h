// What a decoder is built of, whatever its architecture and file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/ops/product/linear.h"

namespace kvpress {

struct ModelFiles;

struct ModelConfig {
  std::string architecture;  ///< transformers' model_type: "gpt_neox", "llama"
  std::int64_t n_layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t n_heads = 0;
  std::int64_t n_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t vocab_size = 0;     ///< rows of the embedding; may exceed the tokenizer's ids
  std::int64_t max_positions = 0;  ///< the context the model was trained for
  float norm_eps = 1e-5f;
  bool rms_norm = false;           ///< RMSNorm without biases, else LayerNorm with them
  bool parallel_residual = false;  ///< attention and feed-forward read the same input (GPT-NeoX)
  bool gated = false;              ///< feed-forward with a gate (SwiGLU)
  bool attention_bias = false;
  bool mlp_bias = false;
  bool tied_output = false;  ///< the embedding is the output product as well
  Activation activation = Activation::none;
  std::vector<float> rope_frequencies;  ///< rotary_dim / 2 inverse frequencies
  std::vector<std::int32_t> eos_ids;

  std::int64_t group_size() const { return n_heads / n_kv_heads; }
  std::int64_t rotary_dim() const { return 2 * static_cast<std::int64_t>(rope_frequencies.size()); }
  /// Parameters of the weights, computed from the sizes.
  std::int64_t n_parameters() const;
};

/// Reads the configuration of `files`, whose architecture must be one of architectures(). Throws Error naming the file
/// and the key that is missing, of the wrong kind, out of range or not supported.
ModelConfig read_config(const ModelFiles& files);

/// A configuration by the name of a published shape, to measure with random weights: "pythia-70m", "pythia-160m",
/// "smollm2-135m". Throws UsageError listing the known ones.
ModelConfig named_shape(const std::string& name);

}  // namespace kvpress
