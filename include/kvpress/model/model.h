// A causal language model: configuration, weights, and the forward pass over a cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kvpress/cache/kv_cache.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/model/attention_listener.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"

namespace kvpress {

/// The type of weights and products that was asked for. `automatic` takes the file's own: bfloat16 for bfloat16 and
/// quantized weights where the processor multiplies it, else float32. `held` says what products keep of the weights.
struct DTypeChoice {
  bool automatic = true;
  DType type = DType::f32;
  HeldWeights held = HeldWeights::as_float;
};
/// "auto" or a name parse_dtype() takes.
DTypeChoice parse_dtype_choice(const std::string& text, const std::string& option);

/// What a choice comes to for weights of which the file's largest tensor is stored as `stored`.
Numerics choose_numerics(const DTypeChoice& choice, StoredType stored);

struct ForwardBuffers;

/// One sequence's part of a pass: its new tokens, and where they belong.
struct Step {
  std::span<const std::int32_t> tokens;
  std::int64_t first_position = 0;  ///< place in the text of the first of them
  KVCache& cache;
  AttentionListener* listener = nullptr;
  /// Out: the final-normed hidden states of the last hidden.rows tokens (at most all of them).
  Matrix<float> hidden = {};
  /// Layers with windows keep what no later token will see: for a pass that is taken back afterwards.
  bool keeps_unseen = false;
};

/// Scratch of the forward pass, kept from call to call; for one thread at a time.
class Workspace {
 public:
  Workspace();
  Workspace(Workspace&&) noexcept;
  Workspace& operator=(Workspace&&) noexcept;
  ~Workspace();

 private:
  friend class Model;
  std::unique_ptr<ForwardBuffers> buffers_;
};

class Model {
 public:
  /// Decodes and packs the weights; `files` is kept for its mappings. `planned`: as read_config() has it. Throws Error
  /// naming file and tensor.
  Model(std::shared_ptr<const ModelFiles> files, const DTypeChoice& dtype, std::int64_t planned = 0);
  /// Of weights that are ready. `embedding_owner` owns the bytes that weights.embedding shows.
  Model(ModelConfig config, const Numerics& numerics, DecoderWeights weights,
        std::shared_ptr<const void> embedding_owner);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelConfig& config() const;
  /// What the weights are rounded to, and the default of the cache.
  DType dtype() const;
  /// The type of activations that products read.
  DType compute_type() const;
  /// The numbers for people: "bfloat16", or "bfloat16, weights int8" where weights are held quantized.
  std::string numbers() const;
  /// Bytes of the packed weights.
  std::size_t weight_bytes() const;
  /// The output product, [vocab_size, hidden_size], which reads rows of compute_type(), with the logits' soft cap.
  OutputHead output() const;

  /// `n_carried`: floats that are kept beside each token for a press. `renumber`: CacheShape says what it does.
  KVCache make_cache(const CacheFormat& format, std::int64_t n_carried = 0, bool renumber = false) const;

  /// Runs each step's tokens through the model, appending to its cache, and writes the final-normed hidden states it
  /// asks for. Products run over the rows of all steps together; attention over each one's own cache, of which each
  /// step must have its own (else std::logic_error). A step gives what it gives alone: the same bits where the same
  /// kernels run, else within rounding. Throws Error for a token outside the vocabulary, NotFinite (not_finite.h) where
  /// a layer gives NaN or infinity or a cache's type does not hold a key or value, Interrupted, and what listeners
  /// throw; what the pass has added is then gone from all caches, but what listeners evicted does not come back.
  /// Several threads may run one model at a time, each with a workspace and caches of its own.
  void forward(std::span<const Step> steps, Workspace& workspace) const;
  /// One step, in a workspace that the model keeps for such calls.
  void forward(const Step& step) const;

  /// Logits of rows of final-normed hidden states: [rows, vocab_size].
  void logits(Matrix<const float> hidden, Matrix<float> out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvpress
