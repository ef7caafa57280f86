// One pass of some sequences' new tokens through a model: what Model::forward() does. Not part of the library's
// interface.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/model/model.h"

namespace kvpress {

/// What a workspace holds: matrices of the pass, and the turns of RoPE.
struct ForwardBuffers {
  ActivationBuffer residual, normed, qkv, queries, attended, wide, gated;
  Rope rope;
};

/// The rows of all steps stand in one residual stream, one step's after the other's. A layer takes them in parts: its
/// products run over a part's rows together, its attention over each step's own cache.
class ForwardPass {
 public:
  ForwardPass(const ModelConfig& config, const DecoderWeights& weights, const Numerics& numerics, const Rope& rope,
              std::span<const Step> steps, ForwardBuffers& buffers);

  void run();
  /// After run() has thrown: takes away what it added to the caches.
  void undo() noexcept;

 private:
  /// A step, its rows in the pass, and what the layer at hand needs to know about it.
  struct Sequence {
    const Step* step;
    std::int64_t first_row;
    std::int64_t n_new;
    std::vector<std::int64_t> next;       // each KV head's RoPE position of the first token
    std::span<float* const> column_sums;  // where the listener wants them
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
  void norm(const NormWeights& norm, Matrix<const float> x, const Activations& out) const;
  void feed_forward(std::int64_t layer, Matrix<const float> input, const Activations& sum);

  // layer_attention.cpp
  void begin_layer(std::int64_t layer, Sequence& sequence) const;
  /// Attention of a part's rows: [rows, n_heads * head_dim].
  Activations attend(std::int64_t layer, const Part& part);
  void store_keys_and_rotate(std::int64_t layer, const Part& part, const Projections& made) const;
  static bool attends_with(const Piece& piece, const Piece& other);
  void attend_together(std::int64_t layer, std::span<const Piece> pieces, const Projections& made,
                       const Activations& attended) const;
  void tell_listener(std::int64_t layer, const Piece& piece, const Projections& made, const float* log_sum_exp) const;

  const ModelConfig& config_;
  const DecoderWeights& weights_;
  const Numerics& numerics_;
  const Rope& rope_;
  ForwardBuffers& buffers_;
  std::vector<Sequence> sequences_;
  std::vector<Part> parts_;
  Activations residual_;
  std::int64_t n_rows_ = 0;
};

}  // namespace kvpress
