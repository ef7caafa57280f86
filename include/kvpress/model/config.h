// What a decoder is built of, whatever its architecture and file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kvpress/model/layer_spec.h"
#include "kvpress/ops/rope.h"

namespace kvpress {

struct ModelFiles;

/// A model as a whole, and its layers.
struct ModelConfig {
  std::string architecture;  ///< transformers' model_type: "gpt_neox", "llama", ...
  std::int64_t n_layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t n_heads = 0;
  std::int64_t n_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;     ///< rows of the embedding; may exceed the tokenizer's ids
  std::int64_t max_positions = 0;  ///< the context the model was trained for
  NormKind final_norm = NormKind::layer_norm;
  float final_norm_eps = 1e-5f;
  bool tied_output = false;             ///< the embedding is the output product as well
  float embedding_scale = 1;            ///< of the embedding's rows as they come in
  std::int64_t learned_positions = 0;   ///< rows of a table that is added to the embedding (GPT-2); 0: none
  std::int64_t first_position_row = 0;  ///< the table's row of the text's first token (OPT)
  ExpertSpec experts;                   ///< of layers that have some
  float logit_soft_cap = 0;             ///< logits become cap * tanh(logit / cap); 0: they do not
  std::vector<std::int32_t> eos_ids;
  std::vector<LayerSpec> layers;  ///< n_layers of them

  std::int64_t group_size() const { return n_heads / n_kv_heads; }
  const LayerSpec& layer(std::int64_t l) const { return layers[l]; }
  /// n layers of one kind.
  void set_layers(std::int64_t n, const LayerSpec& each);
  float attention_scale(std::int64_t l) const;
  /// Whether any layer has rotary positions; whether any looks back no further than a window.
  bool has_rope() const;
  bool has_windows() const;
  LayerRopes ropes() const;
  /// Parameters of the weights, computed from the sizes.
  std::int64_t n_parameters() const;
};

/// Reads the configuration of `files`, whose architecture must be one of architectures(). Throws Error naming the file
/// and the key that is missing, of the wrong kind, out of range or not supported. `planned` is the number of tokens
/// that texts will have, by which some scalings of RoPE choose their frequencies; 0: those of the original context.
ModelConfig read_config(const ModelFiles& files, std::int64_t planned = 0);

/// Refuses, by Error naming `path`, what a configuration describes and the forward pass does not carry out.
void check_supported(const ModelConfig& config, const std::string& path);

}  // namespace kvpress
