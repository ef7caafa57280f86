#include "model/decoder_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "model/mxfp4.h"

namespace kvpress {
namespace {

/// llama.cpp's row for the decoder's, where channels 2i and 2i + 1 turn together instead of i and i + d / 2.
std::int64_t neighbours_row(std::int64_t row, std::int64_t d) {
  const std::int64_t channel = row % d;
  return row - channel + (channel < d / 2 ? 2 * channel : 2 * (channel - d / 2) + 1);
}

/// A matrix whose file has [in, out], turned to [out, in].
struct TurnedMatrix {
  AlignedVector<float> values;
  TensorInfo tensor;
};

/// Turns [in, out] at element `first` of a tensor.
std::shared_ptr<const TurnedMatrix> turn(const TensorInfo& from, std::int64_t first, std::int64_t in,
                                         std::int64_t out) {
  auto turned = std::make_shared<TurnedMatrix>();
  AlignedVector<float> row(static_cast<std::size_t>(out));
  turned->values.resize(static_cast<std::size_t>(in * out));
  for (std::int64_t i = 0; i < in; ++i) {
    decode_to_f32(from, first + i * out, row);
    for (std::int64_t o = 0; o < out; ++o) turned->values[o * in + i] = row[o];
  }
  turned->tensor = {from.name, StoredType::f32, "F32", {out, in}, std::as_bytes(std::span(turned->values))};
  return turned;
}

/// One product of rows from several tensors, one after another.
struct Stack {
  RowMap rows;
  std::vector<float> bias;  // zeros for a tensor that has none
  bool has_bias = false;

  template <typename Row>
  void add(const TensorInfo& tensor, std::int64_t n, Row&& row) {
    for (std::int64_t r = 0; r < n; ++r) rows.emplace_back(&tensor, row(r));
    bias.resize(bias.size() + static_cast<std::size_t>(n), 0.0f);
  }
  /// Of the n rows added last.
  template <typename Row>
  void add_bias(std::span<const float> stored, std::int64_t n, Row&& row) {
    has_bias = true;
    for (std::int64_t r = 0; r < n; ++r) bias[bias.size() - static_cast<std::size_t>(n - r)] = stored[row(r)];
  }
  Linear product(WeightReader& reader, std::int64_t in, Activation activation = Activation::none) const {
    return reader.linear(rows, in, has_bias ? bias : std::vector<float>{}, activation);
  }
};

constexpr auto kSameRow = [](std::int64_t row) { return row; };

class DecoderReader {
 public:
  DecoderReader(const ModelConfig& config, const TensorFile& file, const TensorNames& names, const Numerics& numerics)
      : config_(config),
        file_(file),
        names_(names),
        storage_(numerics.storage),
        reader_(file, numerics, std::string(names.base_prefix), names.renamed) {}

  DecoderWeights read();

 private:
  std::string named(std::string_view name) const { return prefix_ + std::string(name); }
  NormWeights norm(std::string_view name, std::int64_t n, NormKind kind, bool there = true) {
    return there ? reader_.norm(named(name), n, kind) : NormWeights{};
  }
  LayerWeights layer(const LayerSpec& spec);
  Linear qkv(const LayerSpec& spec);
  /// `name`.weight, [out, in] or the other way round, as a product; and its rows as they are decoded.
  Linear matrix(std::string_view name, std::int64_t out, std::int64_t in, bool bias,
                Activation activation = Activation::none);
  WeightRows matrix_rows(std::string_view name, std::int64_t out, std::int64_t in);
  std::shared_ptr<const TurnedMatrix> turned(std::string_view name, std::int64_t out, std::int64_t in);
  Linear mlp_in(const LayerSpec& spec);
  ExpertWeights expert(const LayerSpec& spec, std::int64_t e);
  /// One expert's [out, in] of a tensor of all that is [experts, in, out], or in MXFP4 the other way round.
  std::shared_ptr<const TensorInfo> expert_matrix(std::string_view name, std::int64_t e, std::int64_t out,
                                                  std::int64_t in);
  Linear expert_in(const LayerSpec& spec, std::int64_t e);
  Linear expert_out(const LayerSpec& spec, std::int64_t e);
  /// Adds `n` rows of expert e from a tensor of all, [experts, n_all, in].
  void add_stacked(Stack& to, std::string_view name, std::string_view bias, std::int64_t e, std::int64_t n,
                   std::int64_t in);
  void add_stacked_bias(Stack& to, std::string_view name, std::int64_t e, std::int64_t n);

  const ModelConfig& config_;
  const TensorFile& file_;
  const TensorNames& names_;
  DType storage_;
  WeightReader reader_;
  std::string prefix_;
};

std::shared_ptr<const TurnedMatrix> DecoderReader::turned(std::string_view name, std::int64_t out, std::int64_t in) {
  return turn(reader_.tensor(named(name) + ".weight", {in, out}), 0, in, out);
}

Linear DecoderReader::matrix(std::string_view name, std::int64_t out, std::int64_t in, bool bias,
                             Activation activation) {
  if (!names_.inputs_first) return reader_.linear(named(name), out, in, bias, activation);
  const auto matrix = turned(name, out, in);
  Stack stack;
  stack.add(matrix->tensor, out, kSameRow);
  if (bias) stack.add_bias(reader_.vector(named(name) + ".bias", out), out, kSameRow);
  return stack.product(reader_, in, activation);
}

WeightRows DecoderReader::matrix_rows(std::string_view name, std::int64_t out, std::int64_t in) {
  if (!names_.inputs_first) return reader_.rows(named(name), out, in);
  const auto matrix = turned(name, out, in);
  RowMap map;
  append_rows(map, matrix->tensor, 0, out);
  return [matrix, rows = row_source(std::move(map), in, storage_)](std::int64_t first, std::int64_t n, float* to) {
    rows(first, n, to);
  };
}

Linear DecoderReader::qkv(const LayerSpec& spec) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t d = config_.head_dim;
  const std::int64_t q_rows = config_.n_heads * d;
  const std::int64_t kv_rows = config_.n_kv_heads * d;
  // Layers without rotary positions have their rows in the same order as the others.
  const auto turned_row = [&](std::int64_t r) { return names_.neighbours_turn ? neighbours_row(r, d) : r; };
  Stack stack;
  const std::string all = named(names_.qkv);
  if (names_.q.empty() || (!names_.qkv.empty() && reader_.has(all + ".weight"))) {
    const std::int64_t n = q_rows + 2 * kv_rows;
    const auto row = [&](std::int64_t r) {
      if (names_.qkv_row != nullptr) return names_.qkv_row(config_, r);
      return r < q_rows + kv_rows ? turned_row(r) : r;
    };
    std::shared_ptr<const TurnedMatrix> matrix;
    if (names_.inputs_first) matrix = turned(names_.qkv, n, hidden);
    stack.add(matrix ? matrix->tensor : reader_.tensor(all + ".weight", {n, hidden}), n, row);
    if (spec.biases.in_qkv()) stack.add_bias(reader_.vector(all + ".bias", n), n, row);
    return stack.product(reader_, hidden);
  }
  const auto add = [&](std::string_view name, std::int64_t n, bool bias, auto&& row) {
    stack.add(reader_.tensor(named(name) + ".weight", {n, hidden}), n, row);
    if (bias) stack.add_bias(reader_.vector(named(name) + ".bias", n), n, row);
  };
  add(names_.q, q_rows, spec.biases.query, turned_row);
  add(names_.k, kv_rows, spec.biases.key, turned_row);
  add(names_.v, kv_rows, spec.biases.value, kSameRow);
  return stack.product(reader_, hidden);
}

Linear DecoderReader::mlp_in(const LayerSpec& spec) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t inner = spec.intermediate_size;
  if (!spec.gated) return matrix(names_.up, inner, hidden, spec.biases.mlp_in, spec.activation);
  if (!names_.gate_up.empty()) return matrix(names_.gate_up, 2 * inner, hidden, spec.biases.mlp_in);
  Stack stack;
  for (const std::string_view name : {names_.gate, names_.up}) {
    stack.add(reader_.tensor(named(name) + ".weight", {inner, hidden}), inner, kSameRow);
    // A file may have the bias of one alone.
    if (spec.biases.mlp_in && reader_.has(named(name) + ".bias")) {
      stack.add_bias(reader_.vector(named(name) + ".bias", inner), inner, kSameRow);
    }
  }
  if (spec.biases.mlp_in && !stack.has_bias) static_cast<void>(file_.at(named(names_.gate) + ".bias"));  // throws
  return stack.product(reader_, hidden);
}

void DecoderReader::add_stacked(Stack& to, std::string_view name, std::string_view bias, std::int64_t e, std::int64_t n,
                                std::int64_t in) {
  const std::int64_t n_experts = config_.experts.n;
  to.add(reader_.tensor(named(name), {n_experts, n, in}), n, [&](std::int64_t r) { return e * n + r; });
  add_stacked_bias(to, bias, e, n);
}

void DecoderReader::add_stacked_bias(Stack& to, std::string_view name, std::int64_t e, std::int64_t n) {
  if (name.empty() || !reader_.has(named(name))) return;
  const TensorInfo& tensor = reader_.tensor(named(name), {config_.experts.n, n});
  AlignedVector<float> values(static_cast<std::size_t>(n));
  decode_to_f32(tensor, e * n, values);
  to.add_bias(values, n, kSameRow);
}

std::shared_ptr<const TensorInfo> DecoderReader::expert_matrix(std::string_view name, std::int64_t e, std::int64_t out,
                                                               std::int64_t in) {
  const std::int64_t n = config_.experts.n;
  if (reader_.has(named(name) + "_blocks")) return mxfp4_matrix(reader_, named(name), n, e, out, in);
  const auto matrix = turn(reader_.tensor(named(name), {n, in, out}), e * in * out, in, out);
  return {matrix, &matrix->tensor};
}

Linear DecoderReader::expert_in(const LayerSpec& spec, std::int64_t e) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t inner = spec.intermediate_size;
  Stack stack;
  if (names_.experts_inputs_first) {
    const auto matrix = expert_matrix(names_.experts_gate_up, e, 2 * inner, hidden);
    const auto row = [&](std::int64_t r) { return r < inner ? 2 * r : 2 * (r - inner) + 1; };
    stack.add(*matrix, 2 * inner, row);
    const TensorInfo& bias = reader_.tensor(named(names_.experts_gate_up_bias), {config_.experts.n, 2 * inner});
    AlignedVector<float> values(static_cast<std::size_t>(2 * inner));
    decode_to_f32(bias, e * 2 * inner, values);
    stack.add_bias(values, 2 * inner, row);
    return stack.product(reader_, hidden);
  }
  if (!names_.experts_gate_up.empty() && reader_.has(named(names_.experts_gate_up))) {
    add_stacked(stack, names_.experts_gate_up, names_.experts_gate_up_bias, e, 2 * inner, hidden);
  } else if (!names_.experts_gate.empty()) {
    add_stacked(stack, names_.experts_gate, names_.experts_gate_bias, e, inner, hidden);
    add_stacked(stack, names_.experts_up, names_.experts_up_bias, e, inner, hidden);
  } else {
    for (const std::string_view name : {names_.expert_gate, names_.expert_up}) {
      stack.add(reader_.tensor(named(fmt::format(fmt::runtime(name), e)) + ".weight", {inner, hidden}), inner,
                kSameRow);
    }
  }
  return stack.product(reader_, hidden);
}

Linear DecoderReader::expert_out(const LayerSpec& spec, std::int64_t e) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t inner = spec.intermediate_size;
  Stack stack;
  if (names_.experts_inputs_first) {
    const auto matrix = expert_matrix(names_.experts_down, e, hidden, inner);
    stack.add(*matrix, hidden, kSameRow);
    add_stacked_bias(stack, names_.experts_down_bias, e, hidden);
    return stack.product(reader_, inner);
  }
  if (!names_.experts_down.empty() && reader_.has(named(names_.experts_down))) {
    add_stacked(stack, names_.experts_down, names_.experts_down_bias, e, hidden, inner);
    return stack.product(reader_, inner);
  }
  if (names_.expert_down.empty()) static_cast<void>(file_.at(named(names_.experts_down)));  // throws
  return reader_.linear(named(fmt::format(fmt::runtime(names_.expert_down), e)), hidden, inner, false);
}

ExpertWeights DecoderReader::expert(const LayerSpec& spec, std::int64_t e) {
  return {expert_in(spec, e), expert_out(spec, e)};
}

LayerWeights DecoderReader::layer(const LayerSpec& spec) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t q_rows = config_.n_heads * config_.head_dim;
  const std::int64_t kv_rows = config_.n_kv_heads * config_.head_dim;
  LayerWeights layer;
  layer.attention_norm = norm(names_.attention_norm, hidden, spec.norm, spec.normed_before());
  layer.attention_post_norm = norm(names_.attention_post_norm, hidden, spec.norm, spec.normed_after());
  layer.mlp_norm = norm(names_.mlp_norm, hidden, spec.norm, spec.normed_before());
  layer.mlp_post_norm = norm(names_.mlp_post_norm, hidden, spec.norm, spec.normed_after());
  const auto head_norm = [&](std::string_view name, const std::optional<NormKind>& kind, std::int64_t all) {
    return kind ? norm(name, spec.norms_heads_together ? all : config_.head_dim, *kind) : NormWeights{};
  };
  layer.query_norm = head_norm(names_.query_norm, spec.query_norm, q_rows);
  layer.key_norm = head_norm(names_.key_norm, spec.key_norm, kv_rows);
  layer.qkv = qkv(spec);
  if (spec.attention_sinks) layer.sinks = reader_.vector(named(names_.sinks), config_.n_heads);
  layer.attention_out = matrix(names_.attention_out, hidden, q_rows, spec.biases.attention_out);
  layer.attention_out_rows = matrix_rows(names_.attention_out, hidden, q_rows);
  if (spec.feed_forward == FeedForwardKind::experts) {
    layer.router = reader_.exact(named(names_.router), config_.experts.n, hidden, config_.experts.router_bias);
    for (std::int64_t e = 0; e < config_.experts.n; ++e) layer.experts.push_back(expert(spec, e));
  } else {
    layer.mlp_in = mlp_in(spec);
    layer.mlp_out = matrix(names_.down, hidden, spec.intermediate_size, spec.biases.mlp_out);
  }
  return layer;
}

DecoderWeights DecoderReader::read() {
  const std::int64_t hidden = config_.hidden_size;
  DecoderWeights result;
  result.embedding = reader_.tensor(named(names_.embedding) + ".weight", {config_.vocab_size, hidden});
  if (config_.learned_positions > 0) {
    result.positions = reader_.tensor(named(names_.positions) + ".weight", {config_.learned_positions, hidden});
  }
  for (std::int64_t l = 0; l < config_.n_layers; ++l) {
    prefix_ = fmt::format(fmt::runtime(names_.layer), l);
    result.layers.push_back(layer(config_.layer(l)));
  }
  prefix_.clear();
  result.final_norm = norm(names_.final_norm, hidden, config_.final_norm);
  const bool tied = config_.tied_output && !reader_.has(named(names_.output) + ".weight");
  result.output = reader_.output(named(tied ? names_.embedding : names_.output), config_.vocab_size, hidden);
  reader_.refuse_unused([&](std::string_view name) { return names_.is_buffer != nullptr && names_.is_buffer(name); });
  return result;
}

}  // namespace

std::string text_part_name(std::string_view name) {
  constexpr std::string_view kOlder = "language_model.", kNewer = "model.language_model.";
  if (name.starts_with(kNewer)) return "model." + std::string(name.substr(kNewer.size()));
  return std::string(name.starts_with(kOlder) ? name.substr(kOlder.size()) : name);
}

bool is_picture_part(std::string_view name) {
  constexpr std::string_view kModel = "model.";
  if (name.starts_with(kModel)) name.remove_prefix(kModel.size());
  return name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.") ||
         name.ends_with("rotary_emb.inv_freq");
}

DecoderWeights read_decoder(const ModelConfig& config, const TensorFile& file, const TensorNames& names,
                            const Numerics& numerics) {
  return DecoderReader(config, file, names, numerics).read();
}

}  // namespace kvpress
