// A decoder's weights, read by a table of names: what an architecture's file has to say of its tensors.
#pragma once

#include <cstdint>
#include <string_view>

#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"

namespace kvpress {

/// Where tensors are, without ".weight" and ".bias". Those of a layer follow `layer`, in which {} stands for its
/// number; in names of experts, {} stands for the expert's. What is empty is not there.
struct TensorNames {
  std::string_view base_prefix;  ///< files of the model without its head leave it out
  std::string_view embedding, positions, final_norm, output;
  std::string_view layer;
  std::string_view attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
  std::string_view q, k, v;
  std::string_view qkv;  ///< in place of q, k and v
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
  bool experts_inputs_first = false;  ///< experts_gate_up and experts_down are [experts, in, out], and in the former
                                      ///< gate and up take turns (gpt-oss)
  bool inputs_first = false;          ///< a layer's matrices are [in, out] (GPT-2)
  /// Rows of queries and keys are stored for the rotation of neighbouring channels (llama.cpp's own Llama).
  bool neighbours_turn = false;
  /// The row of `qkv` that is row `row` of queries, keys and values one after another; null: the same one.
  std::int64_t (*qkv_row)(const ModelConfig& config, std::int64_t row) = nullptr;
  /// Tensors that may be in the file and are no weights; null: none.
  bool (*is_buffer)(std::string_view name) = nullptr;
};

/// Reads all that `config` describes, refuses tensors that are left over.
DecoderWeights read_decoder(const ModelConfig& config, const TensorFile& file, const TensorNames& names,
                            const Numerics& numerics);

}  // namespace kvpress
