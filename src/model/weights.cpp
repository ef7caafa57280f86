#include "kvpress/model/weights.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "kvpress/base/error.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

void round_to(DType type, float* values, std::int64_t n) {
  if (type == DType::f32) return;
  std::vector<std::byte> rounded(static_cast<std::size_t>(n) * size_of(type));
  from_float(values, rounded.data(), type, n);
  to_float(rounded.data(), type, values, n);
}

}  // namespace

const TensorInfo& WeightReader::tensor(const std::string& name, const std::vector<std::int64_t>& shape) {
  const TensorInfo& found = file_.at(name);
  if (found.shape != shape) {
    fail("{}: tensor {} has shape [{}], the configuration asks for [{}]", file_.path(), name,
         fmt::join(found.shape, ", "), fmt::join(shape, ", "));
  }
  if (found.type == StoredType::other) {
    fail("{}: tensor {} is stored as {}; {} can be read", file_.path(), name, found.type_name, kReadableTypes);
  }
  used_.insert(name);
  return found;
}

AlignedVector<float> WeightReader::vector(const std::string& name, std::int64_t n) {
  AlignedVector<float> values(static_cast<std::size_t>(n));
  decode_to_f32(tensor(name, {n}), 0, values);
  round_to(numerics_.storage, values.data(), n);
  return values;
}

NormWeights WeightReader::norm(const std::string& prefix, std::int64_t n, bool with_bias) {
  NormWeights norm;
  norm.weight = vector(prefix + ".weight", n);
  if (with_bias) norm.bias = vector(prefix + ".bias", n);
  return norm;
}

Linear WeightReader::linear(const RowMap& rows, std::int64_t in, const std::vector<float>& bias,
                            Activation activation) {
  return {static_cast<std::int64_t>(rows.size()),
          in,
          row_source(rows, in, numerics_.storage),
          bias,
          numerics_.compute,
          activation,
          &arena_};
}

Linear WeightReader::linear(const std::string& name, std::int64_t out, std::int64_t in, bool with_bias,
                            Activation activation) {
  RowMap rows;
  append_rows(rows, tensor(name + ".weight", {out, in}), 0, out);
  std::vector<float> bias;
  if (with_bias) {
    const auto values = vector(name + ".bias", out);
    bias.assign(values.begin(), values.end());
  }
  return linear(rows, in, bias, activation);
}

WeightRows WeightReader::rows(const std::string& name, std::int64_t out, std::int64_t in) {
  RowMap map;
  append_rows(map, tensor(name + ".weight", {out, in}), 0, out);
  return row_source(std::move(map), in, numerics_.storage);
}

void WeightReader::refuse_unused(const std::function<bool(std::string_view)>& is_buffer) const {
  for (const TensorInfo& it : file_.tensors()) {
    if (used_.contains(it.name) || is_buffer(it.name)) continue;
    fail("{}: tensor {} is not part of this architecture as it is known here; results without it would be wrong",
         file_.path(), it.name);
  }
}

void append_rows(RowMap& map, const TensorInfo& tensor, std::int64_t first, std::int64_t n) {
  for (std::int64_t r = first; r < first + n; ++r) map.emplace_back(&tensor, r);
}

WeightRows row_source(RowMap rows, std::int64_t in, DType storage) {
  return [rows = std::move(rows), in, storage](std::int64_t first, std::int64_t n, float* out) {
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < n; ++r) {
      const auto& [tensor, row] = rows[static_cast<std::size_t>(first + r)];
      decode_to_f32(*tensor, row * in, {out + r * in, static_cast<std::size_t>(in)});
      round_to(storage, out + r * in, in);
    }
  };
}

}  // namespace kvpress
