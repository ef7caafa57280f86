// One pass of some sequences' new tokens through a model: what Model::forward() does. Not part of the library's
// interface.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/model/model.h"
#include "kvpress/ops/attention/attention.h"

namespace kvpress {

/// What a workspace holds: matrices of the pass, and the turns of RoPE.
struct ForwardBuffers {
  ActivationBuffer residual, normed, qkv, queries, attended, projected, wide, gated;
  ActivationBuffer routed, gathered, expert_result;
  LayerRopes ropes;
};

/// The rows of all steps stand in one residual stream, one step's after the other's. A layer takes them in parts: its
/// products run over a part's rows together, its attention over each step's own cache.
class ForwardPass {
 public:
  ForwardPass(const ModelConfig& config, const DecoderWeights& weights, const Numerics& numerics,
              const LayerRopes& ropes, std::span<const Step> steps, ForwardBuffers& buffers);

  void run();
  /// After run() has thrown: takes away what it added to the caches.
  void undo() noexcept;

 private:
  /// A step, its rows in the pass, and what the layer at hand needs to know about it.
  struct Sequence {
    const Step* step;
    std::int64_t first_row;
    std::int64_t n_new;
    std::vector<std::int64_t> next;         // each KV head's RoPE position of the first token
    std::span<float* const> column_sums;    // where the listener wants them
    AlignedVector<float> attention_output;  // [n_new, hidden_size], where the listener wants it
  };
  /// Some tokens of a sequence: `n` from `first` on. `row` is counted in the part.
  struct Piece {
    Sequence* sequence;
    std::int64_t first, n, row;
    bool ends_block() const { return first + n == sequence->n_new; }
  };
  struct Part {
    std::int64_t first_row = 0;
    std::int64_t n_rows = 0;
    std::vector<Piece> pieces;
  };
  /// First entries that queries see, [KV head][query], where a layer's window hides some; without any: none does.
  struct FirstSeen {
    std::vector<std::vector<std::int32_t>> rows;
    std::vector<const std::int32_t*> pointers;
  };
  /// A part's matrices, from one product to the next.
  struct Projections {
    Activations normed, qkv, queries;
  };

  void arrange(std::span<const Step> steps);
  void cut_into_parts();
  void embed();
  void prepare_rope();
  void run_layer(std::int64_t layer);
  void write_hidden_states() const;
  /// Throws NotFinite for the first row of the residual stream, after `layer`, with a number that is none.
  void refuse_not_finite(std::int64_t layer) const;
  /// The same for the input of a product of quantized weights, whose result is added to `sum`, a part of the stream.
  void refuse_not_finite_input(const Activations& x, const Activations& sum) const;
  void norm(const NormWeights& norm, NormKind kind, float eps, Matrix<const float> x, const Activations& out) const;
  /// What attention or feed-forward read: x after the norm, or as it is, in the products' type.
  void read(const LayerSpec& spec, const NormWeights& norm, Matrix<const float> x, const Activations& out) const;
  /// sum += product(x), after a norm where the layer has one there. Returns what was added where it was held.
  Matrix<const float> add_product(const LayerSpec& spec, const Linear& product, const NormWeights& post_norm,
                                  const Activations& x, const Activations& sum, bool held = false);
  void add_attention(std::int64_t layer, const Part& part, const Activations& attended);
  void feed_forward(std::int64_t layer, Matrix<const float> input, const Activations& sum);
  /// What a feed-forward part's second product reads: the activations of the first.
  Activations inner_activations(const LayerSpec& spec, const Linear& mlp_in, const Activations& x);
  void add_result(const LayerSpec& spec, const NormWeights& post_norm, const Activations& result,
                  const Activations& sum) const;
  void finish_layer(std::int64_t layer);

  // experts.cpp
  /// The weighted sum of what each row's experts make of it, in float32.
  Activations feed_experts(std::int64_t layer, const Activations& x);

  // layer_attention.cpp
  void begin_layer(std::int64_t layer, Sequence& sequence) const;
  /// Attention of a part's rows: [rows, n_heads * head_dim].
  Activations attend(std::int64_t layer, const Part& part);
  void norm_queries_and_keys(const LayerSpec& spec, const LayerWeights& weights, float* qkv) const;
  void scale_queries_and_keys(const RopeSpec& rope, float* qkv) const;
  /// By the positions that RoPE turns a token of the sequence to.
  void grow_queries(const QueryGrowth& growth, const Sequence& sequence, std::int64_t token, float* qkv) const;
  void store_keys_and_rotate(std::int64_t layer, const Part& part, const Projections& made) const;
  /// The error of a row of a part whose queries, keys or values the pass cannot go on with.
  [[noreturn]] void fail_row(std::int64_t layer, const Part& part, std::int64_t row, const float* qkv) const;
  FirstSeen first_seen(std::int64_t layer, std::span<const Piece> pieces) const;
  static bool attends_with(const Piece& piece, const Piece& other);
  void attend_together(std::int64_t layer, std::span<const Piece> pieces, const Projections& made,
                       const Activations& attended) const;
  /// Attention whose softmaxes have a learned term more in their denominators.
  static void attend_with_sinks(AttentionArgs args, const AlignedVector<float>& sinks, const Activations& out);
  void tell_listener(std::int64_t layer, const Piece& piece, const Projections& made, const float* log_sum_exp) const;

  const ModelConfig& config_;
  const DecoderWeights& weights_;
  const Numerics& numerics_;
  const LayerRopes& ropes_;
  ForwardBuffers& buffers_;
  std::vector<Sequence> sequences_;
  std::vector<Part> parts_;
  Activations residual_;
  std::int64_t n_rows_ = 0;
};

}  // namespace kvpress
