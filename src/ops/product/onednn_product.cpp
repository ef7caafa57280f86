#include "ops/product/onednn_product.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "kvpress/base/memory.h"
#include "ops/isa.h"
#include "ops/product/onednn_compat.h"

namespace kvpress::onednn {
namespace {

/// Products kept per Linear; chunk tails of every length must not pile up.
constexpr std::size_t kMaxProducts = 64;

memory::desc bias_desc(std::int64_t columns) { return {{1, columns}, memory::data_type::f32, memory::format_tag::ab}; }

/// The panels that PackedWeights knows, of `columns` outputs.
std::optional<memory::desc> panels_desc(std::int64_t in, std::int64_t columns, DType type, std::int64_t width) {
  using tag = memory::format_tag;
  const bool pairs = type == DType::bf16;
  const auto desc = [&](tag it) { return memory::desc({in, columns}, data_type(type), it); };
  switch (width) {
    case 16:
      return desc(pairs ? tag::BA16a16b2a : tag::BA16a16b);
    case 32:
      return desc(pairs ? tag::BA16a32b2a : tag::BA16a32b);
    case 48:
      return desc(pairs ? tag::BA16a48b2a : tag::BA16a48b);
    case 64:
      return desc(pairs ? tag::BA16a64b2a : tag::BA16a64b);
    default:
      return {};
  }
}

/// The same text at a place that stays.
std::string_view kept_name(std::string name) {
  static std::mutex mutex;
  static std::set<std::string> names;
  const std::scoped_lock lock(mutex);
  return *names.insert(std::move(name)).first;
}

}  // namespace

dnnl::engine& engine() {
  static dnnl::engine instance = [] {
    isa();  // oneDNN takes a limit only before its first use
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

memory::data_type data_type(DType type) {
  return type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc rows_desc(std::int64_t rows, std::int64_t cols, DType type) {
  return {{rows, cols}, data_type(type), memory::format_tag::ab};
}

memory::desc any_weights(std::int64_t in, std::int64_t columns, DType type) {
  return {{in, columns}, data_type(type), memory::format_tag::any};
}

std::int64_t columns_of(const memory::desc& weights) { return extent_of(weights).dims[1]; }
std::int64_t padded_inputs_of(const memory::desc& weights) { return extent_of(weights).padded_dims[0]; }

std::optional<PackedWeights> arrangement(const memory::desc& weights, DType type) {
  const auto blocking = blocking_of(weights);
  if (!blocking) return {};
  const memory::dims dims = extent_of(weights).dims;
  const std::int64_t in = dims[0];
  const std::int64_t out = dims[1];
  const memory::dims& strides = blocking->strides;
  const bool pairs = type == DType::bf16;
  if (blocking->inner_blocks.empty()) {
    if (pairs || strides[0] != 1 || strides[1] != in) return {};
    return PackedWeights{nullptr, out, in, 0, 0};
  }
  // Blocks of inputs x columns, the inputs of bfloat16 once more in pairs.
  if (blocking->inner_indices != (pairs ? memory::dims{0, 1, 0} : memory::dims{0, 1})) return {};
  if (pairs && blocking->inner_blocks[2] != 2) return {};
  const std::int64_t block = blocking->inner_blocks[0];
  const std::int64_t width = blocking->inner_blocks[1];
  if (width % kColumns != 0 || strides[0] != block * width * (pairs ? 2 : 1)) return {};
  return PackedWeights{nullptr, out, in, width, strides[1]};
}

std::optional<memory> some_columns(const memory& weights, DType type, std::int64_t first, std::int64_t columns) {
  const memory::desc whole = weights.get_desc();
  const auto arranged = arrangement(whole, type);
  if (!arranged) return {};
  const std::int64_t in = arranged->in;
  const auto at = [&](std::int64_t offset) {
    return static_cast<std::byte*>(weights.get_data_handle()) + static_cast<std::size_t>(offset) * size_of(type);
  };
  if (arranged->width == 0) {
    return memory({{in, columns}, data_type(type), memory::format_tag::ba}, engine(), at(first * in));
  }
  // A kernel does not heed where a part of a matrix begins, so the part has to be a matrix like any other.
  const auto same = panels_desc(in, arranged->out, type, arranged->width);
  if (!same || *same != whole || first % arranged->width != 0) return {};
  return memory(*panels_desc(in, columns, type, arranged->width), engine(),
                at(first / arranged->width * arranged->panel_stride));
}

Products::Products(std::int64_t in, DType type, std::span<const float> bias, Activation activation)
    : in_(in), type_(type), activation_(activation) {
  if (bias.empty()) return;
  bias_ = memory(bias_desc(static_cast<std::int64_t>(bias.size())), engine());
  std::copy(bias.begin(), bias.end(), static_cast<float*>(bias_.get_data_handle()));
}

std::span<const float> Products::bias() const {
  if (!bias_) return {};
  return {static_cast<const float*>(bias_.get_data_handle()), static_cast<std::size_t>(columns_of(bias_.get_desc()))};
}

dnnl::primitive_attr Products::attributes(bool accumulate) const {
  dnnl::post_ops ops;
  switch (activation_) {
    case Activation::none:
      break;
    case Activation::gelu_erf:
      append_eltwise(ops, dnnl::algorithm::eltwise_gelu_erf, 0.0f);
      break;
    case Activation::gelu_tanh:
      append_eltwise(ops, dnnl::algorithm::eltwise_gelu_tanh, 0.0f);
      break;
    case Activation::relu:
      append_eltwise(ops, dnnl::algorithm::eltwise_relu, 0.0f);
      break;
    case Activation::silu:
      append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1.0f);
      break;
  }
  if (accumulate) ops.append_sum(1.0f);
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  // The library's own scratchpad is of the thread that made a product, and not for others.
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

dnnl::matmul::primitive_desc Products::describe(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride,
                                                DType out_type, bool accumulate) const {
  const std::int64_t columns = columns_of(weights);
  const memory::desc x = rows_desc(rows, in_, type_);
  const memory::desc y({rows, columns}, data_type(out_type), memory::dims{y_stride, 1});
  const memory::desc b = bias_desc(columns);
  return matmul_of(engine(), x, weights, bias_ ? &b : nullptr, y, attributes(accumulate));
}

Products::Product Products::product(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride,
                                    DType out_type, bool accumulate) {
  const std::array<std::int64_t, 3> key = {rows, columns_of(weights),
                                           y_stride * 4 + (out_type == DType::bf16 ? 2 : 0) + (accumulate ? 1 : 0)};
  const std::scoped_lock lock(mutex_);
  const auto found = products_.find(key);
  if (found != products_.end()) return found->second;
  if (products_.size() >= kMaxProducts) products_.clear();
  const auto desc = describe(rows, weights, y_stride, out_type, accumulate);
  const Product product{dnnl::matmul(desc), desc.scratchpad_desc(), kept_name(desc.impl_info_str())};
  return products_.emplace(key, product).first->second;
}

std::string_view Products::kernel(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride) {
  return product(rows, weights, y_stride, DType::f32, false).kernel;
}

void Products::multiply(const Activations& x, const memory& weights, std::int64_t first_column, const Activations& y,
                        std::int64_t y_column, bool accumulate) {
  const memory::desc weights_desc = weights.get_desc();
  const std::int64_t columns = columns_of(weights_desc);
  const Product chosen = product(x.rows, weights_desc, y.cols, y.type, accumulate);
  const memory::desc y_desc({y.rows, columns}, data_type(y.type), memory::dims{y.cols, 1});
  auto* y_data = y.as<std::byte>() + static_cast<std::size_t>(y_column) * size_of(y.type);
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, memory(rows_desc(x.rows, x.cols, x.type), engine(), x.data)},
                                            {DNNL_ARG_WEIGHTS, weights},
                                            {DNNL_ARG_DST, memory(y_desc, engine(), y_data)}};
  if (bias_) {
    auto* bias = static_cast<float*>(bias_.get_data_handle()) + first_column;
    arguments.emplace(DNNL_ARG_BIAS, memory(bias_desc(columns), engine(), bias));
  }
  thread_local AlignedVector<std::byte> scratch;
  if (const std::size_t bytes = chosen.scratchpad.get_size(); bytes > 0) {
    if (scratch.size() < bytes) scratch.resize(bytes);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(chosen.scratchpad, engine(), scratch.data()));
  }
  chosen.primitive.execute(stream(), arguments);
  stream().wait();
}

}  // namespace kvpress::onednn
