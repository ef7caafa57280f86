#include "kvpress/model/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "formats/printable.h"
#include "formats/quants.h"
#include "kvpress/base/dtype.h"
#include "kvpress/base/error.h"
#include "ops/product/half_weights.h"
#include "ops/product/quantized.h"
#include "ops/product/twelve_bit.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

void round_to(DType type, float* values, std::int64_t n) {
  if (type == DType::f32) return;
  std::vector<std::byte> rounded(static_cast<std::size_t>(n) * size_of(type));
  from_float(values, rounded.data(), type, n);
  to_float(rounded.data(), type, values, n);
}

QuantFormat format_of(const QuantLayout& layout) {
  return {layout.bits <= 4 ? 4 : 8, static_cast<int>(layout.scale_elements), layout.zero, layout.has_min};
}

/// Whether float16 holds every scale of the rows as it is, where their type has others as well.
bool has_half_scales(const RowMap& rows, std::int64_t in) {
  const auto n = static_cast<std::size_t>(in);
  std::vector<std::uint8_t> codes(n);
  std::vector<float> scales;
  return std::all_of(rows.begin(), rows.end(), [&](const auto& it) {
    const auto& [tensor, row] = it;
    const QuantLayout layout = quant_layout(tensor->type);
    if (!layout.wide_scales) return true;
    scales.resize(n / layout.scale_elements);
    unpack_quants(tensor->type, tensor->data.data() + static_cast<std::size_t>(row) * n / layout.block * layout.bytes,
                  codes, scales, {});
    return std::all_of(scales.begin(), scales.end(),
                       [](float scale) { return std::isfinite(scale) && to_float(from_float<f16>(scale)) == scale; });
  });
}

/// A format that holds the codes of every row's tensor as they are; none when one of them is not quantized.
std::optional<QuantFormat> common_format(const RowMap& rows) {
  std::optional<QuantFormat> common;
  const TensorInfo* last = nullptr;
  for (const auto& [tensor, row] : rows) {
    if (tensor == last) continue;
    last = tensor;
    const QuantLayout layout = quant_layout(tensor->type);
    if (layout.block == 0) return {};
    const QuantFormat format = format_of(layout);
    if (!common) common = format;
    common->bits = std::max(common->bits, format.bits);
    common->scale_inputs = std::min(common->scale_inputs, format.scale_inputs);
    if (common->zero != format.zero || common->has_min != format.has_min) {
      common->zero = 0;  // a zero becomes a min: -zero * scale, which float16 holds as exactly as the scale
      common->has_min = true;
    }
  }
  return common;
}

/// bfloat16 or float16, where all rows are stored so; else float32.
DType common_half(const RowMap& rows) {
  const StoredType type = rows.front().first->type;
  if (type != StoredType::bf16 && type != StoredType::f16) return DType::f32;
  const bool all = std::all_of(rows.begin(), rows.end(), [type](const auto& it) { return it.first->type == type; });
  if (!all) return DType::f32;
  return type == StoredType::bf16 ? DType::bf16 : DType::f16;
}

/// Rows as the file has them, taken apart. Scales of the K types are rounded to float16 when they are packed.
QuantRows stored_rows(RowMap rows, std::int64_t in, const QuantFormat& format) {
  return [rows = std::move(rows), in, format](std::int64_t first, std::int64_t n, const QuantParts& to) {
    const auto n_inputs = static_cast<std::size_t>(in);
    const auto wanted = static_cast<std::size_t>(format.scale_inputs);
    std::vector<float> scales, mins;
    for (std::size_t r = 0; r < static_cast<std::size_t>(n); ++r) {
      const auto& [tensor, row] = rows[static_cast<std::size_t>(first) + r];
      const QuantLayout layout = quant_layout(tensor->type);
      const auto start = static_cast<std::size_t>(row) * n_inputs / layout.block * layout.bytes;
      scales.assign(n_inputs / layout.scale_elements, 0.0f);
      mins.assign(scales.size(), 0.0f);
      unpack_quants(tensor->type, tensor->data.data() + start, {to.codes + r * n_inputs, n_inputs}, scales, mins);
      const auto shift = static_cast<float>(format.zero - layout.zero);
      for (std::size_t s = 0; s < n_inputs / wanted; ++s) {
        const std::size_t from = s * wanted / layout.scale_elements;
        to.scales[r * n_inputs / wanted + s] = scales[from];
        if (format.has_min) {
          to.mins[r * n_inputs / wanted + s] = layout.has_min ? mins[from] : shift * scales[from];
        }
      }
    }
  };
}

QuantRows quantized_rows(const WeightRows& rows, std::int64_t in, const QuantFormat& format) {
  return [&rows, in, format](std::int64_t first, std::int64_t n, const QuantParts& to) {
    AlignedVector<float> values(static_cast<std::size_t>(n * in));
    rows(first, n, values.data());
    const std::int64_t n_blocks = (in + 31) / 32;
    for (std::int64_t r = 0; r < n; ++r) {
      quantize_row(
          values.data() + r * in, in, format,
          {to.codes + r * n_blocks * 32, to.scales + r * n_blocks, format.has_min ? to.mins + r * n_blocks : nullptr});
    }
  };
}

}  // namespace

HeldWeights parse_held_weights(std::string_view text, std::string_view option) {
  if (text == "float") return HeldWeights::as_float;
  if (text == "file") return HeldWeights::as_file;
  if (text == "int8") return HeldWeights::as_int8;
  if (text == "int4") return HeldWeights::as_int4;
  fail_usage("{}: '{}' is not known; float, file, int8 and int4 are", option, text);
}

WeightReader::WeightReader(const TensorFile& file, const Numerics& numerics, std::string base_prefix,
                           std::string (*renamed)(std::string_view))
    : file_(file), numerics_(numerics), base_prefix_(std::move(base_prefix)) {
  constexpr std::string_view kCompiled = "_orig_mod.";
  for (const TensorInfo& tensor : file.tensors()) {
    std::string name = renamed == nullptr ? tensor.name : renamed(tensor.name);
    for (auto at = name.find(kCompiled); at != name.npos; at = name.find(kCompiled)) name.erase(at, kCompiled.size());
    has_prefix_ = has_prefix_ || (!base_prefix_.empty() && name.starts_with(base_prefix_));
    const auto [it, is_new] = by_name_.emplace(std::move(name), &tensor);
    if (!is_new) {
      fail("{}: tensors {} and {} are the same one", file.path(), printable(it->second->name), printable(tensor.name));
    }
  }
}

const TensorInfo* WeightReader::find(const std::string& name) const {
  auto it = by_name_.find(name);
  if (it == by_name_.end() && !has_prefix_ && name.starts_with(base_prefix_)) {
    it = by_name_.find(name.substr(base_prefix_.size()));
  }
  return it == by_name_.end() ? nullptr : it->second;
}

const TensorInfo& WeightReader::shaped(const std::string& name, const std::vector<std::int64_t>& shape) {
  const TensorInfo* there = find(name);
  const TensorInfo& found = there == nullptr ? file_.at(name) : *there;
  if (found.shape != shape) {
    fail("{}: tensor {} has shape [{}], the configuration asks for [{}]", file_.path(), name,
         fmt::join(found.shape, ", "), fmt::join(shape, ", "));
  }
  used_.insert(found.name);
  return found;
}

const TensorInfo& WeightReader::tensor(const std::string& name, const std::vector<std::int64_t>& shape) {
  const TensorInfo& found = shaped(name, shape);
  if (found.type == StoredType::other) {
    fail("{}: tensor {} is stored as {}; {} can be read", file_.path(), name, found.type_name, kReadableTypes);
  }
  return found;
}

const TensorInfo& WeightReader::bytes(const std::string& name, const std::vector<std::int64_t>& shape) {
  const TensorInfo& found = shaped(name, shape);
  if (found.type_name != "U8") {
    fail("{}: tensor {} is stored as {}, it must be of bytes (U8)", file_.path(), name, found.type_name);
  }
  return found;
}

AlignedVector<float> WeightReader::vector(const std::string& name, std::int64_t n) {
  AlignedVector<float> values(static_cast<std::size_t>(n));
  decode_to_f32(tensor(name, {n}), 0, values);
  round_to(numerics_.storage, values.data(), n);
  return values;
}

NormWeights WeightReader::norm(const std::string& prefix, std::int64_t n, NormKind kind) {
  NormWeights norm;
  norm.weight = vector(prefix + ".weight", n);
  if (kind == NormKind::layer_norm) norm.bias = vector(prefix + ".bias", n);
  if (kind == NormKind::rms_norm_plus_one) {
    for (float& it : norm.weight) it += 1.0f;
  }
  return norm;
}

Linear WeightReader::linear(const RowMap& rows, std::int64_t in, const std::vector<float>& bias,
                            Activation activation) {
  const auto out = static_cast<std::int64_t>(rows.size());
  if (numerics_.held == HeldWeights::as_file) {
    if (const auto format = common_format(rows); format && has_half_scales(rows, in)) {
      auto weights = std::make_shared<QuantizedWeights>(out, in, *format, stored_rows(rows, in, *format), arena_);
      return {std::move(weights), bias, numerics_.compute, activation};
    }
  }
  // What is quantized next is not rounded first.
  const bool rounds = numerics_.held == HeldWeights::as_float || numerics_.held == HeldWeights::as_file;
  Numerics numerics = numerics_;
  if (numerics.storage == DType::f32) numerics.storage = common_half(rows);  // nothing is lost
  return make_linear(out, in, row_source(rows, in, rounds ? numerics_.storage : DType::f32), bias, numerics, activation,
                     arena_);
}

Linear WeightReader::output(const std::string& name, std::int64_t out, std::int64_t in) {
  const HeldWeights held = numerics_.held;
  if (held == HeldWeights::as_int4) numerics_.held = HeldWeights::as_int8;
  Linear result = linear(name, out, in, false);
  numerics_.held = held;
  return result;
}

Linear WeightReader::exact(const std::string& name, std::int64_t out, std::int64_t in, bool with_bias) {
  const HeldWeights held = std::exchange(numerics_.held, HeldWeights::as_float);
  Linear result = linear(name, out, in, with_bias);
  numerics_.held = held;
  return result;
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
         file_.path(), printable(it.name));
  }
}

void append_rows(RowMap& map, const TensorInfo& tensor, std::int64_t first, std::int64_t n) {
  for (std::int64_t r = first; r < first + n; ++r) map.emplace_back(&tensor, r);
}

WeightRows row_source(RowMap rows, std::int64_t in, DType storage) {
  return [rows = std::move(rows), in, storage](std::int64_t first, std::int64_t n, float* out) {
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < n; ++r) {
      const auto& [tensor, row] = rows[first + r];
      decode_to_f32(*tensor, row * in, {out + r * in, static_cast<std::size_t>(in)});
      round_to(storage, out + r * in, in);
    }
  };
}

Linear make_linear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias,
                   const Numerics& numerics, Activation activation, PageArena& arena) {
  if (numerics.held == HeldWeights::as_int8 || numerics.held == HeldWeights::as_int4) {
    const QuantFormat& format = numerics.held == HeldWeights::as_int8 ? kInt8Format : kInt4Format;
    auto weights = std::make_shared<QuantizedWeights>(out, in, format, quantized_rows(rows, in, format), arena);
    return {std::move(weights), bias, numerics.compute, activation};
  }
  if (numerics.compute == DType::f32 && numerics.storage != DType::f32) {
    auto weights = std::make_shared<HalfWeights>(out, in, numerics.storage, rows, arena);
    return {std::move(weights), bias, DType::f32, activation};
  }
  if (numerics.compute == DType::bf16 && TwelveBitWeights::fast()) {
    if (auto weights = TwelveBitWeights::pack(out, in, rows, arena)) {
      return {std::make_shared<TwelveBitWeights>(*std::move(weights)), bias, DType::bf16, activation};
    }
  }
  return {out, in, rows, bias, numerics.compute, activation, &arena};
}

namespace {

/// What a tensor of a file holds: MXFP4 in safetensors is two numbers a byte (mxfp4.h), and scales that are counted
/// with them.
struct Stored {
  StoredType type;
  double n_elements;
};
Stored stored_in(const TensorInfo& tensor) {
  const auto n = static_cast<double>(tensor.n_elements());
  if (tensor.type_name != "U8") return {tensor.type, n};
  if (tensor.name.ends_with("_blocks")) return {StoredType::mxfp4, 2 * n};
  return {tensor.type, tensor.name.ends_with("_scales") ? 0 : n};
}

}  // namespace

bool has_quantized(const TensorFile& file) {
  return std::any_of(file.tensors().begin(), file.tensors().end(),
                     [](const TensorInfo& it) { return quant_layout(stored_in(it).type).block > 0; });
}

double held_weight_bytes(const ModelConfig& config, const Numerics& numerics, const TensorFile* tensors) {
  const bool in_two_bytes = numerics.compute == DType::bf16 || numerics.storage != DType::f32;
  const auto as_float = [&](StoredType stored) {
    return in_two_bytes || stored == StoredType::bf16 || stored == StoredType::f16 ? 2.0 : 4.0;
  };
  const auto held = [](const QuantFormat& format) {
    return format.bits / 8.0 + (format.has_min ? 4.0 : 2.0) / format.scale_inputs;
  };
  const auto n = static_cast<double>(config.n_parameters());
  const auto output = static_cast<double>(config.vocab_size * config.hidden_size);
  switch (numerics.held) {
    case HeldWeights::as_int8:
      return n * held(kInt8Format);
    case HeldWeights::as_int4:
      return (n - output) * held(kInt4Format) + output * held(kInt8Format);
    case HeldWeights::as_file:
    case HeldWeights::as_float:
      break;
  }
  if (tensors == nullptr) return n * as_float(StoredType::f32);
  double bytes = 0;
  for (const TensorInfo& it : tensors->tensors()) {
    const Stored stored = stored_in(it);
    const QuantLayout layout = quant_layout(stored.type);
    const bool as_stored = numerics.held == HeldWeights::as_file && layout.block > 0 && stored.type != StoredType::q8_k;
    bytes += stored.n_elements * (as_stored ? held(format_of(layout)) : as_float(stored.type));
  }
  return bytes;
}

}  // namespace kvpress
