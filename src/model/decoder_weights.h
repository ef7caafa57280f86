// A decoder's weights, read by a table of names: what an architecture's file has to say of its tensors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"
#include "model/gguf_rope.h"

namespace kvpress {

/// Where tensors are, without ".weight" and ".bias". Those of a layer follow `layer`, in which {} stands for its
/// number; in names of experts, {} stands for the expert's. What is empty is not there.
struct TensorNames {
  std::string_view base_prefix;  ///< files of the model without its head leave it out
  std::string_view embedding, positions, final_norm, output;
  std::string_view layer;
  std::string_view attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
  std::string_view q, k, v;
  std::string_view qkv;  ///< in place of q, k and v, where the file has it
  std::string_view query_norm, key_norm;
  std::string_view sinks;  ///< whole name
  std::string_view attention_out;
  std::string_view gate, up;
  std::string_view gate_up;  ///< in place of both, the gate first
  std::string_view down;
  std::string_view router, expert_gate, expert_up, expert_down;
  /// Whole names of tensors that hold all experts, without {}: [experts, out, in]; in place of the three above.
  std::string_view experts_gate, experts_up, experts_gate_up, experts_down;
  /// Whole names of their biases, [experts, out].
  std::string_view experts_gate_bias, experts_up_bias, experts_gate_up_bias, experts_down_bias;
  /// experts_gate_up and experts_down are [experts, in, out], or [experts, out, in] in MXFP4 (mxfp4.h); in the former
  /// gate and up take turns (gpt-oss).
  bool experts_inputs_first = false;
  bool inputs_first = false;  ///< a layer's matrices are [in, out] (GPT-2)
  /// Rows of queries and keys are stored for the rotation of neighbouring channels (llama.cpp's own Llama).
  bool neighbours_turn = false;
  /// The row of `qkv` that is row `row` of queries, keys and values one after another; null: the same one.
  std::int64_t (*qkv_row)(const ModelConfig& config, std::int64_t row) = nullptr;
  /// Tensors that may be in the file and are no weights; null: none.
  bool (*is_buffer)(std::string_view name) = nullptr;
  /// The name here of a tensor of the file; null: the same.
  std::string (*renamed)(std::string_view name) = nullptr;
};

/// Llama's names as transformers saves them, which most follow.
constexpr TensorNames transformers_names() {
  TensorNames names;
  names.base_prefix = "model.";
  names.embedding = "model.embed_tokens";
  names.final_norm = "model.norm";
  names.output = "lm_head";
  names.layer = "model.layers.{}.";
  names.attention_norm = "input_layernorm";
  names.mlp_norm = "post_attention_layernorm";
  names.q = "self_attn.q_proj";
  names.k = "self_attn.k_proj";
  names.v = "self_attn.v_proj";
  names.query_norm = "self_attn.q_norm";
  names.key_norm = "self_attn.k_norm";
  names.attention_out = "self_attn.o_proj";
  names.gate = "mlp.gate_proj";
  names.up = "mlp.up_proj";
  names.down = "mlp.down_proj";
  names.is_buffer = [](std::string_view name) { return name.ends_with("rotary_emb.inv_freq"); };
  return names;
}

/// llama.cpp's names, the same for all of its architectures.
constexpr TensorNames gguf_names() {
  TensorNames names;
  names.embedding = "token_embd";
  names.positions = "position_embd";
  names.final_norm = "output_norm";
  names.output = "output";
  names.layer = "blk.{}.";
  names.attention_norm = "attn_norm";
  names.attention_post_norm = "post_attention_norm";
  names.mlp_norm = "ffn_norm";
  names.mlp_post_norm = "post_ffw_norm";
  names.q = "attn_q";
  names.k = "attn_k";
  names.v = "attn_v";
  names.qkv = "attn_qkv";
  names.query_norm = "attn_q_norm";
  names.key_norm = "attn_k_norm";
  names.sinks = "attn_sinks.weight";
  names.attention_out = "attn_output";
  names.gate = "ffn_gate";
  names.up = "ffn_up";
  names.down = "ffn_down";
  names.router = "ffn_gate_inp";
  names.experts_gate = "ffn_gate_exps.weight";
  names.experts_up = "ffn_up_exps.weight";
  names.experts_gate_up = "ffn_gate_up_exps.weight";
  names.experts_down = "ffn_down_exps.weight";
  names.experts_gate_bias = "ffn_gate_exps.bias";
  names.experts_up_bias = "ffn_up_exps.bias";
  names.experts_gate_up_bias = "ffn_gate_up_exps.bias";
  names.experts_down_bias = "ffn_down_exps.bias";
  names.is_buffer = is_rope_tensor;
  return names;
}

/// For models that also see pictures: the name that a tensor of what reads text would have alone; and which tensors are
/// not of that part.
std::string text_part_name(std::string_view name);
bool is_picture_part(std::string_view name);

/// Reads all that `config` describes, refuses tensors that are left over.
DecoderWeights read_decoder(const ModelConfig& config, const TensorFile& file, const TensorNames& names,
                            const Numerics& numerics);

}  // namespace kvpress
