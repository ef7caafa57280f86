// The weights of a decoder, decoded and packed, and the reader that architectures fetch them with.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/config.h"
#include "kvpress/ops/linear.h"

namespace kvpress {

/// LayerNorm's or RMSNorm's parameters; `bias` is empty for RMSNorm.
struct NormWeights {
  AlignedVector<float> weight;
  AlignedVector<float> bias;
};

struct LayerWeights {
  NormWeights attention_norm;
  NormWeights mlp_norm;
  Linear qkv;  ///< rows: every query head, then every key head, then every value head
  Linear attention_out;
  /// The rows of attention_out once more, [hidden_size, n_heads * head_dim], decoded from the file when asked for.
  WeightRows attention_out_rows;
  Linear mlp_in;  ///< gated: the gate's rows, then the rows it gates
  Linear mlp_out;
};

struct DecoderWeights {
  /// [vocab, hidden]: the file's own bytes (mapped), decoded row by row as tokens come.
  TensorInfo embedding;
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  Linear output;
};

/// How weights are held: rounded to `storage` first (float16 weights computed with in float32, say), then packed as
/// `compute`, which is float32, or bfloat16 where the processor multiplies it.
struct Numerics {
  DType storage = DType::f32;
  DType compute = DType::f32;
};

/// Row r of a product's weights is row rows[r].second of tensor rows[r].first: concatenation and reordering in one.
using RowMap = std::vector<std::pair<const TensorInfo*, std::int64_t>>;

/// Finds tensors by name, checks their shapes, and remembers which were used.
class WeightReader {
 public:
  WeightReader(const TensorFile& file, const Numerics& numerics) : file_(file), numerics_(numerics) {}

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  /// Throws Error naming file and tensor when it is missing, of another shape, or of a type that cannot be decoded.
  const TensorInfo& tensor(const std::string& name, const std::vector<std::int64_t>& shape);
  AlignedVector<float> vector(const std::string& name, std::int64_t n);
  NormWeights norm(const std::string& prefix, std::int64_t n, bool with_bias);
  Linear linear(const RowMap& rows, std::int64_t in, const std::vector<float>& bias,
                Activation activation = Activation::none);
  /// `name`.weight [out, in], and `name`.bias [out] when `with_bias`.
  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool with_bias,
                Activation activation = Activation::none);
  /// The rows of `name`.weight [out, in] as they are decoded, for whoever needs a weight beside its packed product.
  WeightRows rows(const std::string& name, std::int64_t out, std::int64_t in);

  /// Throws Error for the first tensor that was not used and that `is_buffer` does not know: a model that needs it
  /// would be computed wrong without it.
  void refuse_unused(const std::function<bool(std::string_view)>& is_buffer) const;

 private:
  const TensorFile& file_;
  Numerics numerics_;
  PageArena arena_;
  std::set<std::string> used_;
};

/// rows [0, n) of one tensor, to build a RowMap from.
void append_rows(RowMap& map, const TensorInfo& tensor, std::int64_t first, std::int64_t n);

/// A weight matrix's rows, decoded and rounded to `storage`.
WeightRows row_source(RowMap rows, std::int64_t in, DType storage);

}  // namespace kvpress
