#include "kvpress/ops/linear.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "kvpress/ops/compact_weights.h"
#include "kvpress/ops/few_rows.h"
#include "kvpress/ops/isa.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

using dnnl::memory;

dnnl::engine& engine() {
  static dnnl::engine instance = [] {
    isa();  // oneDNN takes a limit only before its first use
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return instance;
}

dnnl::stream& stream() {
  static dnnl::stream instance(engine());
  return instance;
}

memory::data_type data_type(DType type) {
  return type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc rows_desc(std::int64_t rows, std::int64_t cols, DType type) {
  return {{rows, cols}, data_type(type), memory::format_tag::ab};
}

/// How oneDNN arranged weights, as PackedWeights tells it, without its data; none when it cannot.
std::optional<PackedWeights> arrangement(const memory::desc& weights, DType type, std::int64_t out, std::int64_t in) {
  const dnnl_memory_desc_t& desc = weights.data;
  const dnnl_blocking_desc_t& blocking = desc.format_desc.blocking;
  if (desc.format_kind != dnnl_blocked || desc.offset0 != 0 || desc.extra.flags != 0) return {};
  const bool pairs = type == DType::bf16;
  if (blocking.inner_nblks == 0) {
    if (pairs || blocking.strides[0] != 1 || blocking.strides[1] != in) return {};
    return PackedWeights{nullptr, out, in, 0, 0};
  }
  // Blocks of inputs x columns, the inputs of bfloat16 once more in pairs.
  const std::int64_t block = blocking.inner_blks[0];
  const std::int64_t width = blocking.inner_blks[1];
  if (blocking.inner_nblks != (pairs ? 3 : 2) || blocking.inner_idxs[0] != 0 || blocking.inner_idxs[1] != 1) return {};
  if (pairs && (blocking.inner_idxs[2] != 0 || blocking.inner_blks[2] != 2)) return {};
  if (width % kColumns != 0 || blocking.strides[0] != block * width * (pairs ? 2 : 1)) return {};
  return PackedWeights{nullptr, out, in, width, blocking.strides[1]};
}

/// The number of rows that the packing is chosen for: a long prefill's block.
constexpr std::int64_t kTypicalRows = 512;

/// Elements of a weight matrix that are decoded to float32 at a time, and what their rows are a multiple of: any number
/// of columns that oneDNN packs together (16, 32, 48 or 64) divides it.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 20;
constexpr std::int64_t kPackedRows = 192;

/// Bytes of compact weights that are decoded at a time for a product of many rows: they stay in the second-level
/// cache until they are read.
constexpr std::int64_t kDecodedBytes = std::int64_t{1} << 20;
/// Up to so many may be decoded at once, where oneDNN's fastest kernels do not write to a part of each row of a result.
constexpr std::int64_t kDecodedAtOnce = std::int64_t{16} << 20;

/// Columns that are multiplied at a time where only a block of the result is held: a multiple of kPackedRows.
constexpr std::int64_t kColumnBlock = 8 * kPackedRows;

/// Up to so many rows the weights are streamed by few_rows(), beyond that they go to oneDNN.
constexpr std::int64_t kFewRowsProduct = kManyFewRows;

/// Products kept per Linear; chunk tails of every length must not pile up.
constexpr std::size_t kMaxProducts = 64;

}  // namespace

struct Linear::Impl {
  std::int64_t out = 0;
  std::int64_t in = 0;
  DType type = DType::f32;
  Activation activation = Activation::none;
  std::shared_ptr<std::byte> weight_bytes;
  memory weights;  // a view of them
  memory bias;
  PackedWeights packed;  // the same weights, when they are arranged as few_rows() knows it
  FewRowsKernel few_rows_kernel = nullptr;

  // Or, with `weights` empty: decoded part_columns at a time, the rest by itself, or all at once.
  std::shared_ptr<const CompactWeights> compact;
  struct Part {
    memory::desc desc;
    DecodedPanels to;  // without data
  };
  std::int64_t part_columns = 0;
  Part full_part, last_part;
  bool writes_to_parts = true;  // of rows, as fast as to whole rows
  std::optional<Part> all_columns;

  struct Product {
    dnnl::matmul primitive;
    std::string kernel;
  };
  std::map<std::array<std::int64_t, 3>, Product> products;  // by rows, columns and what else there is to them
  std::int64_t column_block = 0;                            // 0: not yet looked for

  dnnl::primitive_attr attributes(bool accumulate) const {
    dnnl::post_ops ops;
    switch (activation) {
      case Activation::none:
        break;
      case Activation::gelu_erf:
        ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
        break;
      case Activation::gelu_tanh:
        ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_gelu_tanh, 0.0f, 0.0f);
        break;
      case Activation::relu:
        ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
        break;
      case Activation::silu:
        ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_swish, 1.0f, 0.0f);
        break;
    }
    if (accumulate) ops.append_sum(1.0f);
    dnnl::primitive_attr attr;
    attr.set_post_ops(ops);
    return attr;
  }

  /// For as many columns of y, whose rows stand y_stride apart, as weights_desc has.
  dnnl::matmul::primitive_desc describe(std::int64_t rows, const memory::desc& weights_desc, std::int64_t y_stride,
                                        DType out_type, bool accumulate) const {
    const std::int64_t columns = weights_desc.data.dims[1];
    const memory::desc x = rows_desc(rows, in, type);
    const memory::desc y({rows, columns}, data_type(out_type), memory::dims{y_stride, 1});
    const memory::desc b({1, columns}, memory::data_type::f32, memory::format_tag::ab);
    const dnnl::matmul::desc desc =
        bias ? dnnl::matmul::desc(x, weights_desc, b, y) : dnnl::matmul::desc(x, weights_desc, y);
    return {desc, attributes(accumulate), engine()};
  }

  std::span<const float> bias_values() const {
    if (!bias) return {};
    return {static_cast<const float*>(bias.get_data_handle()), static_cast<std::size_t>(out)};
  }

  void set_bias(std::span<const float> values) {
    if (values.empty()) return;
    bias = memory({{1, out}, memory::data_type::f32, memory::format_tag::ab}, engine());
    std::copy(values.begin(), values.end(), static_cast<float*>(bias.get_data_handle()));
  }

  void choose_few_rows_kernel() {
    const auto arranged = arrangement(weights.get_desc(), type, out, in);
    if (!arranged) return;
    packed = *arranged;
    packed.data = weights.get_data_handle();
    few_rows_kernel = type == DType::bf16 ? bf16_few_rows_kernel() : float_few_rows_kernel(packed);
  }

  /// How `columns` decoded columns are arranged, for results whose rows stand y_stride apart: as oneDNN likes it best,
  /// or in plain rows of inputs.
  Part part(std::int64_t columns, std::int64_t y_stride) const {
    const memory::desc any({in, columns}, data_type(type), memory::format_tag::any);
    const memory::desc chosen = describe(kTypicalRows, any, y_stride, DType::f32, false).weights_desc();
    const auto arranged = arrangement(chosen, type, columns, in);
    if (arranged && arranged->width > 0) {
      return {chosen,
              {nullptr, type, chosen.data.padded_dims[0], arranged->width, arranged->panel_stride,
               type == DType::bf16 ? 2 : 1}};
    }
    const std::int64_t width = (columns + kColumns - 1) / kColumns * kColumns;
    return {{{in, columns}, data_type(type), memory::dims{width, 1}}, {nullptr, type, (in + 1) / 2 * 2, width, 0, 1}};
  }

  void choose_parts() {
    const std::int64_t fitting = kDecodedBytes / (in * static_cast<std::int64_t>(size_of(type)));
    part_columns = std::min(out, std::max<std::int64_t>(1, fitting / kPackedRows) * kPackedRows);
    const auto kernel = [&](std::int64_t y_stride) {
      const memory::desc weights_desc = part(part_columns, y_stride).desc;
      return std::string(describe(kTypicalRows, weights_desc, y_stride, DType::f32, false).impl_info_str());
    };
    writes_to_parts = kernel(out) == kernel(part_columns);
    const auto part_of = [&](std::int64_t columns) { return part(columns, writes_to_parts ? out : columns); };
    full_part = part_of(part_columns);
    if (out % part_columns != 0) last_part = part_of(out % part_columns);
    if (!writes_to_parts && out * in * static_cast<std::int64_t>(size_of(type)) <= kDecodedAtOnce) {
      all_columns = part_of(out);
    }
  }

  /// `weights_desc` has all columns or those of a part.
  const Product& product(std::int64_t rows, const memory::desc& weights_desc, std::int64_t y_stride, DType out_type,
                         bool accumulate) {
    const std::array<std::int64_t, 3> key = {rows, weights_desc.data.dims[1],
                                             y_stride * 4 + (out_type == DType::bf16 ? 2 : 0) + (accumulate ? 1 : 0)};
    const auto found = products.find(key);
    if (found != products.end()) return found->second;
    if (products.size() >= kMaxProducts) products.clear();
    const auto desc = describe(rows, weights_desc, y_stride, out_type, accumulate);
    return products.emplace(key, Product{dnnl::matmul(desc), desc.impl_info_str()}).first->second;
  }

  /// As many columns as `w` has, which are those from first_column on, to y from y_column on.
  void multiply(const Activations& x, const memory& w, std::int64_t first_column, const Activations& y,
                std::int64_t y_column, bool accumulate) {
    const memory::desc weights_desc = w.get_desc();
    const std::int64_t columns = weights_desc.data.dims[1];
    const auto& chosen = product(x.rows, weights_desc, y.cols, y.type, accumulate);
    const memory::desc y_desc({y.rows, columns}, data_type(y.type), memory::dims{y.cols, 1});
    auto* y_data = y.as<std::byte>() + static_cast<std::size_t>(y_column) * size_of(y.type);
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, memory(rows_desc(x.rows, x.cols, x.type), engine(), x.data)},
        {DNNL_ARG_WEIGHTS, w},
        {DNNL_ARG_DST, memory(y_desc, engine(), y_data)}};
    if (bias) {
      const memory::desc b({1, columns}, memory::data_type::f32, memory::format_tag::ab);
      arguments.emplace(DNNL_ARG_BIAS, memory(b, engine(), static_cast<float*>(bias.get_data_handle()) + first_column));
    }
    chosen.primitive.execute(stream(), arguments);
    stream().wait();
  }

  /// y's columns from `column` on = or += a part.
  static void put(const Activations& part, const Activations& y, std::int64_t column, bool accumulate) {
    const std::size_t row_bytes = static_cast<std::size_t>(part.cols) * size_of(y.type);
    parallel_for(y.rows, [&](std::int64_t r) {
      auto* to = y.as<std::byte>() + static_cast<std::size_t>(r * y.cols + column) * size_of(y.type);
      const Activations row = part.block(r, 1);
      if (accumulate) {
        add(row.as<float>(), reinterpret_cast<float*>(to), part.cols);
      } else {
        std::memcpy(to, row.data, row_bytes);
      }
    });
  }

  /// Part by part, from `begin` on, as many as y has columns.
  void multiply_decoded(const Activations& x, std::int64_t begin, const Activations& y, bool accumulate) {
    thread_local AlignedVector<std::byte> scratch;
    thread_local ActivationBuffer part_result;
    const bool at_once = all_columns && y.cols == out;
    const std::int64_t step = at_once ? out : part_columns;
    for (std::int64_t first = begin; first < begin + y.cols; first += step) {
      const std::int64_t columns = std::min(step, out - first);
      const Part& it = at_once ? *all_columns : columns == part_columns ? full_part : last_part;
      // Plain rows may be written up to an input more than there are.
      const std::size_t bytes = it.desc.get_size() + static_cast<std::size_t>(it.to.width) * sizeof(float);
      if (scratch.size() < bytes) scratch.assign(bytes, std::byte{0});
      DecodedPanels to = it.to;
      to.data = scratch.data();
      const std::int64_t n_vectors = (columns + kColumns - 1) / kColumns;
      compact->decode(first / kColumns, n_vectors, to);
      const memory decoded(it.desc, engine(), scratch.data());
      if (writes_to_parts || y.cols == columns) {
        multiply(x, decoded, first, y, first - begin, accumulate);
      } else {
        const Activations result = part_result.get(y.type, y.rows, columns);
        multiply(x, decoded, first, result, 0, false);
        put(result, y, first - begin, accumulate);
      }
    }
  }

  /// The weights of some columns; its data begins where it begins. None where they cannot be multiplied by themselves
  /// as fast as with the others.
  std::optional<memory> weights_of(std::int64_t first, std::int64_t columns) {
    memory::desc desc = weights.get_desc().submemory_desc({in, columns}, {0, first}, true);
    if (desc.data.ndims == 0) return {};
    const auto offset = static_cast<std::size_t>(desc.data.offset0) * size_of(type);
    desc.data.offset0 = 0;
    return memory(desc, engine(), static_cast<std::byte*>(weights.get_data_handle()) + offset);
  }

  void find_column_block() {
    column_block = out;
    if (out <= kColumnBlock) return;
    const std::string whole = product(kTypicalRows, weights.get_desc(), out, DType::f32, false).kernel;
    for (const std::int64_t columns : {kColumnBlock, out % kColumnBlock}) {
      if (columns == 0) continue;
      const auto some = weights_of(columns == kColumnBlock ? 0 : out - columns, columns);
      if (!some) return;
      try {
        if (product(kTypicalRows, some->get_desc(), columns, DType::f32, false).kernel != whole) return;
      } catch (const dnnl::error&) {
        return;
      }
    }
    column_block = kColumnBlock;
  }
};

Linear::Linear() = default;
Linear::Linear(const Linear&) = default;
Linear::Linear(Linear&&) noexcept = default;
Linear::~Linear() = default;

Linear& Linear::operator=(Linear other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}

Linear::Linear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias, DType type,
               Activation activation, PageArena* arena)
    : impl_(std::make_shared<Impl>()) {
  impl_->out = out;
  impl_->in = in;
  impl_->type = type;
  impl_->activation = activation;
  impl_->set_bias(bias);
  const memory::desc any({in, out}, data_type(type), memory::format_tag::any);
  auto typical = impl_->describe(kTypicalRows, any, out, DType::f32, false);
  if (type == DType::f32 && typical.weights_desc() == rows_desc(in, out, type)) {
    // Where oneDNN packs as it multiplies, plain weights may as well lie in rows, which few_rows() can stream.
    typical =
        impl_->describe(kTypicalRows, {{in, out}, data_type(type), memory::format_tag::ba}, out, DType::f32, false);
  }
  const std::size_t n_bytes = typical.weights_desc().get_size();
  PageArena own(n_bytes);
  impl_->weight_bytes = (arena != nullptr ? arena : &own)->take(n_bytes);
  impl_->weights = memory(typical.weights_desc(), engine(), impl_->weight_bytes.get());
  impl_->choose_few_rows_kernel();

  // Rows come a block at a time: an embedding in float32 would be larger than all packed weights together. Not every
  // packed format can be written in parts.
  const memory::desc packed = impl_->weights.get_desc();
  std::int64_t step = std::min(out, std::max<std::int64_t>(1, kBlockElements / in / kPackedRows) * kPackedRows);
  for (std::int64_t first = 0; first < out; first += step) {
    if (packed.submemory_desc({in, std::min(step, out - first)}, {0, first}, true).data.ndims == 0) step = out;
  }
  AlignedVector<float> plain(static_cast<std::size_t>(step * in));
  for (std::int64_t first = 0; first < out; first += step) {
    const std::int64_t n = std::min(step, out - first);
    rows(first, n, plain.data());
    // W is [out, in] row-major, the product wants [in, out]: the same bytes seen as "ba".
    memory source({{in, n}, memory::data_type::f32, memory::format_tag::ba}, engine(), plain.data());
    memory part(n == out ? packed : packed.submemory_desc({in, n}, {0, first}), engine(),
                impl_->weights.get_data_handle());
    dnnl::reorder(source, part).execute(stream(), source, part);
    stream().wait();
  }
}

Linear::Linear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias, DType type,
               Activation activation)
    : impl_(std::make_shared<Impl>()) {
  impl_->out = weights->out_features();
  impl_->in = weights->in_features();
  impl_->type = type;
  impl_->activation = activation;
  impl_->compact = std::move(weights);
  impl_->set_bias(bias);
  impl_->choose_parts();
}

std::int64_t Linear::in_features() const { return impl_->in; }
std::int64_t Linear::out_features() const { return impl_->out; }
DType Linear::type() const { return impl_->type; }
std::size_t Linear::bytes() const {
  return impl_->compact ? impl_->compact->bytes() : impl_->weights.get_desc().get_size();
}

void Linear::operator()(const Activations& x, const Activations& y, bool accumulate) const {
  if (x.rows == 0) return;
  if (impl_->compact && x.rows <= impl_->compact->most_rows()) {
    impl_->compact->multiply(x, impl_->bias_values(), impl_->activation, accumulate, y);
  } else if (impl_->few_rows_kernel != nullptr && x.rows <= kFewRowsProduct) {
    few_rows(impl_->packed, impl_->few_rows_kernel, x, impl_->bias_values(), impl_->activation, accumulate, y);
  } else if (impl_->compact) {
    impl_->multiply_decoded(x, 0, y, accumulate);
  } else {
    impl_->multiply(x, impl_->weights, 0, y, 0, accumulate);
  }
}

std::int64_t Linear::column_block() const {
  if (impl_->compact) return impl_->part_columns;
  if (impl_->column_block == 0) impl_->find_column_block();
  return impl_->column_block;
}

void Linear::columns(const Activations& x, std::int64_t first, const Activations& y) const {
  if (x.rows == 0) return;
  if (impl_->compact) {
    impl_->multiply_decoded(x, first, y, false);
  } else {
    impl_->multiply(x, *impl_->weights_of(first, y.cols), first, y, 0, false);
  }
}

std::string_view Linear::kernel(std::int64_t n) const {
  if (impl_->compact && n <= impl_->compact->most_rows()) return impl_->compact->kernel();
  if (impl_->few_rows_kernel != nullptr && n <= kFewRowsProduct) return "few_rows";
  if (!impl_->compact) return impl_->product(n, impl_->weights.get_desc(), impl_->out, DType::f32, false).kernel;
  const Impl::Part& part = impl_->all_columns ? *impl_->all_columns : impl_->full_part;
  const std::int64_t y_stride = impl_->writes_to_parts ? impl_->out : part.desc.data.dims[1];
  return impl_->product(n, part.desc, y_stride, DType::f32, false).kernel;
}

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
          const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  isa();
  const auto status =
      dnnl::sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl::status::success) fail("matrix product {} x {} x {}: oneDNN refused it", m, n, k);
}

}  // namespace kvpress
