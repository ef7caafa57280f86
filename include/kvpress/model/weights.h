// The weights of a decoder, decoded and packed, and the reader that architectures fetch them with.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/config.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {

/// LayerNorm's or RMSNorm's parameters; `bias` is empty for RMSNorm. Without any weights: no norm there.
struct NormWeights {
  AlignedVector<float> weight;
  AlignedVector<float> bias;
};

/// One expert's feed-forward part.
struct ExpertWeights {
  Linear in, out;
};

struct LayerWeights {
  NormWeights attention_norm;       ///< of what attention reads
  NormWeights attention_post_norm;  ///< of what attention gives
  NormWeights mlp_norm;
  NormWeights mlp_post_norm;
  NormWeights query_norm;  ///< [head_dim], or of all heads
  NormWeights key_norm;
  AlignedVector<float> sinks;  ///< [n_heads], where there are any: a logit beside those of the entries
  Linear qkv;                  ///< rows: every query head, then every key head, then every value head
  Linear attention_out;
  /// The rows of attention_out once more, [hidden_size, n_heads * head_dim], decoded from the file when asked for.
  WeightRows attention_out_rows;
  Linear mlp_in;  ///< gated: the gate's rows, then the rows it gates
  Linear mlp_out;
  Linear router;  ///< [experts, hidden_size]
  std::vector<ExpertWeights> experts;
};

struct DecoderWeights {
  /// [vocab, hidden]: the file's own bytes (mapped), decoded row by row as tokens come.
  TensorInfo embedding;
  TensorInfo positions;  ///< [learned_positions, hidden], the same
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  Linear output;
};

/// What products keep of their weights.
enum class HeldWeights : std::uint8_t {
  as_float,  ///< every weight, as Numerics says
  as_file,   ///< codes and scales of tensors that the file has quantized; the others as_float
  as_int8,   ///< 8 bits, a scale for each 32 inputs
  as_int4,   ///< 4 bits, a scale and a min for each 32 inputs; the output product as_int8
};
/// "float", "file", "int8" or "int4". Throws UsageError naming `option`.
HeldWeights parse_held_weights(std::string_view text, std::string_view option);

/// How weights are held: rounded to `storage`, and packed for products in `compute`, which is float32, or bfloat16
/// where the processor multiplies it. In two bytes where storage has two, or where all that storage would hold came in
/// two; those for bfloat16 products in 12 bits where nothing is lost (twelve_bit.h). Weights that are held in fewer
/// bits than `compute` has are decoded to it for products of many rows.
struct Numerics {
  DType storage = DType::f32;
  DType compute = DType::f32;
  HeldWeights held = HeldWeights::as_float;
};

/// Row r of a product's weights is row rows[r].second of tensor rows[r].first: concatenation and reordering in one.
using RowMap = std::vector<std::pair<const TensorInfo*, std::int64_t>>;

/// Finds tensors by name, checks their shapes, and remembers which were used.
class WeightReader {
 public:
  /// Names are those of a model saved with its head. A file of the model without it lacks `base_prefix` of all names
  /// ("model."), and one of a compiled model has "_orig_mod." in them; both are found. Throws Error if two tensors have
  /// one name then.
  WeightReader(const TensorFile& file, const Numerics& numerics, std::string base_prefix = "",
               std::string (*renamed)(std::string_view) = nullptr);

  bool has(const std::string& name) const { return find(name) != nullptr; }
  /// Throws Error naming file and tensor when it is missing, of another shape, or of a type that cannot be decoded.
  const TensorInfo& tensor(const std::string& name, const std::vector<std::int64_t>& shape);
  /// The same of plain bytes, whose meaning the caller knows.
  const TensorInfo& bytes(const std::string& name, const std::vector<std::int64_t>& shape);
  AlignedVector<float> vector(const std::string& name, std::int64_t n);
  /// `prefix`.weight [n], and `prefix`.bias [n] where the kind has one.
  NormWeights norm(const std::string& prefix, std::int64_t n, NormKind kind);
  Linear linear(const RowMap& rows, std::int64_t in, const std::vector<float>& bias,
                Activation activation = Activation::none);
  /// `name`.weight [out, in], and `name`.bias [out] when `with_bias`.
  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool with_bias,
                Activation activation = Activation::none);
  /// The output product, which stays as_int8 where others are as_int4: a model's loss depends on it most.
  Linear output(const std::string& name, std::int64_t out, std::int64_t in);
  /// As linear(), not quantized beyond what the file has.
  Linear exact(const std::string& name, std::int64_t out, std::int64_t in, bool with_bias);
  /// The rows of `name`.weight [out, in] as they are decoded, for whoever needs a weight beside its packed product.
  WeightRows rows(const std::string& name, std::int64_t out, std::int64_t in);

  /// Throws Error for the first tensor that was not used and that `is_buffer` does not know: a model that needs it
  /// would be computed wrong without it.
  void refuse_unused(const std::function<bool(std::string_view)>& is_buffer) const;

  /// For error messages.
  const std::string& path() const { return file_.path(); }

 private:
  const TensorInfo* find(const std::string& name) const;
  /// A tensor of this shape, whatever its type; it counts as used.
  const TensorInfo& shaped(const std::string& name, const std::vector<std::int64_t>& shape);

  const TensorFile& file_;
  Numerics numerics_;
  std::string base_prefix_;
  bool has_prefix_ = false;  ///< whether names in the file begin with it
  std::map<std::string, const TensorInfo*> by_name_;
  PageArena arena_;
  std::set<std::string> used_;
};

/// rows [0, n) of one tensor, to build a RowMap from.
void append_rows(RowMap& map, const TensorInfo& tensor, std::int64_t first, std::int64_t n);

/// A weight matrix's rows, decoded and rounded to `storage`.
WeightRows row_source(RowMap rows, std::int64_t in, DType storage);

/// A product of weights, given in float32, that are held as `numerics` says; as_file is as_float.
Linear make_linear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias,
                   const Numerics& numerics, Activation activation, PageArena& arena);

/// Whether some of a file's tensors are quantized: those of which HeldWeights::as_file keeps codes and scales.
bool has_quantized(const TensorFile& file);

/// Bytes that a model's weights take at most, told before they are decoded. `tensors` may be null where there is no
/// file.
double held_weight_bytes(const ModelConfig& config, const Numerics& numerics, const TensorFile* tensors);

}  // namespace kvpress
