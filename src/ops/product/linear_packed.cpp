// Weights in float32 or bfloat16, packed once as oneDNN likes them best. Many rows are its product; few rows stream the
// same bytes (few_rows.h) where their arrangement is one that those kernels know.
#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "kvpress/base/memory.h"
#include "ops/product/few_rows.h"
#include "ops/product/linear_impl.h"
#include "ops/product/onednn_compat.h"
#include "ops/product/onednn_product.h"

namespace kvpress {
namespace {

using dnnl::memory;
using onednn::kTypicalRows;

/// Elements of a weight matrix that are made as float32 at a time.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 20;
/// Columns that are multiplied at a time where only a block of the result is held.
constexpr std::int64_t kColumnBlock = 8 * kPackedColumns;

/// Up to so many rows the weights are streamed by few_rows(), beyond that they go to oneDNN.
constexpr std::int64_t kStreamedRows = kManyFewRows;

class PackedLinear final : public LinearImpl {
 public:
  PackedLinear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias, DType type,
               Activation activation, PageArena* arena)
      : out_(out), in_(in), type_(type), products_(in, type, bias, activation) {
    const memory::desc chosen = choose_arrangement();
    const std::size_t n_bytes = chosen.get_size();
    PageArena own(n_bytes);
    bytes_ = (arena != nullptr ? arena : &own)->take(n_bytes);
    weights_ = memory(chosen, onednn::engine(), bytes_.get());
    choose_few_rows_kernel();
    pack(rows);
  }

  std::int64_t in_features() const override { return in_; }
  std::int64_t out_features() const override { return out_; }
  DType type() const override { return type_; }
  std::size_t bytes() const override { return weights_.get_desc().get_size(); }

  void multiply(const Activations& x, const Activations& y, bool accumulate) override {
    if (streams(x.rows)) {
      few_rows(packed_, few_rows_kernel_, x, products_.bias(), products_.activation(), accumulate, y);
    } else {
      products_.multiply(x, weights_, 0, y, 0, accumulate);
    }
  }

  void columns(const Activations& x, std::int64_t first, const Activations& y) override {
    if (y.cols == out_) {
      products_.multiply(x, weights_, 0, y, 0, false);
    } else {
      products_.multiply(x, *onednn::some_columns(weights_, type_, first, y.cols), first, y, 0, false);
    }
  }

  std::int64_t column_block() override {
    std::int64_t block = column_block_;
    if (block == 0) column_block_ = block = out_ > kColumnBlock && multiplies_blocks_as_fast() ? kColumnBlock : out_;
    return block;
  }

  std::string_view kernel(std::int64_t n) override {
    return streams(n) ? "few_rows" : products_.kernel(n, weights_.get_desc(), out_);
  }

  bool has_tiles() const override {
    const bool in_pairs =
        type_ == DType::bf16 && packed_.width > 0 && onednn::padded_inputs_of(weights_.get_desc()) % kTiledInputs == 0;
    return in_pairs && products_.bias().empty() && products_.activation() == Activation::none;
  }

  WeightTiles tiles(std::int64_t first, AlignedVector<std::uint16_t>& /*scratch*/) const override {
    WeightTiles tiles;
    tiles.stride = packed_.width * 2 * static_cast<std::int64_t>(sizeof(std::uint16_t));
    tiles.n_columns = std::min(kTiledColumns, out_ - first);
    for (std::int64_t v = 0; v * kColumns < tiles.n_columns; ++v) tiles.vectors[v] = pairs_of(first + v * kColumns);
    return tiles;
  }

  std::span<const std::byte> tile_bytes(std::int64_t first) const override {
    // Panels may be wider than what is shown of them: what lies between is read soon.
    const std::int64_t columns = std::min(kTiledColumns, out_ - first);
    const auto* const begin = reinterpret_cast<const std::byte*>(pairs_of(first / packed_.width * packed_.width));
    const std::int64_t panels = (columns + packed_.width - 1) / packed_.width;
    return {begin, static_cast<std::size_t>(panels * packed_.panel_stride) * sizeof(std::uint16_t)};
  }

 private:
  /// The first pair of inputs of 16 columns.
  const std::uint16_t* pairs_of(std::int64_t column) const {
    return static_cast<const std::uint16_t*>(packed_.data) + column / packed_.width * packed_.panel_stride +
           column % packed_.width * 2;
  }

  bool streams(std::int64_t rows) const { return few_rows_kernel_ != nullptr && rows <= kStreamedRows; }

  memory::desc choose_arrangement() const {
    const memory::desc any = onednn::any_weights(in_, out_, type_);
    const memory::desc best = products_.describe(kTypicalRows, any, out_).weights_desc();
    if (type_ != DType::f32 || best != onednn::rows_desc(in_, out_, type_)) return best;
    // Where oneDNN packs as it multiplies, plain weights may as well lie in rows, which few_rows() can stream.
    const memory::desc plain({in_, out_}, onednn::data_type(type_), memory::format_tag::ba);
    return products_.describe(kTypicalRows, plain, out_).weights_desc();
  }

  void choose_few_rows_kernel() {
    const auto arranged = onednn::arrangement(weights_.get_desc(), type_);
    if (!arranged) return;
    packed_ = *arranged;
    packed_.data = weights_.get_data_handle();
    few_rows_kernel_ = type_ == DType::bf16 ? bf16_few_rows_kernel() : float_few_rows_kernel(packed_);
  }

  /// Rows come a block at a time: an embedding in float32 would be larger than all packed weights together.
  void pack(const WeightRows& rows) {
    const memory::desc packed = weights_.get_desc();
    const std::int64_t step = packed_at_a_time();
    AlignedVector<float> plain(static_cast<std::size_t>(step * in_));
    for (std::int64_t first = 0; first < out_; first += step) {
      const std::int64_t n = std::min(step, out_ - first);
      rows(first, n, plain.data());
      // W is [out, in] row-major, the product wants [in, out]: the same bytes seen as "ba".
      memory source({{in_, n}, memory::data_type::f32, memory::format_tag::ba}, onednn::engine(), plain.data());
      memory part(n == out_ ? packed : packed.submemory_desc({in_, n}, {0, first}), onednn::engine(),
                  weights_.get_data_handle());
      dnnl::reorder(source, part).execute(onednn::stream(), source, part);
      onednn::stream().wait();
    }
  }

  /// All of them where the arrangement cannot be written in parts.
  std::int64_t packed_at_a_time() const {
    const memory::desc packed = weights_.get_desc();
    const std::int64_t fitting = kBlockElements / in_ / kPackedColumns;
    const std::int64_t step = std::min(out_, std::max<std::int64_t>(1, fitting) * kPackedColumns);
    for (std::int64_t first = 0; first < out_; first += step) {
      const std::int64_t n = std::min(step, out_ - first);
      if (onednn::is_empty(packed.submemory_desc({in_, n}, {0, first}, true))) return out_;
    }
    return step;
  }

  bool multiplies_blocks_as_fast() {
    const std::string whole(products_.kernel(kTypicalRows, weights_.get_desc(), out_));
    for (const std::int64_t n : {kColumnBlock, out_ % kColumnBlock}) {
      if (n == 0) continue;
      const auto some = onednn::some_columns(weights_, type_, n == kColumnBlock ? 0 : out_ - n, n);
      if (!some) return false;
      try {
        if (products_.kernel(kTypicalRows, some->get_desc(), n) != whole) return false;
      } catch (const dnnl::error&) {
        return false;
      }
    }
    return true;
  }

  std::int64_t out_;
  std::int64_t in_;
  DType type_;
  onednn::Products products_;
  std::shared_ptr<std::byte> bytes_;
  memory weights_;        // a view of them
  PackedWeights packed_;  // the same, when they are arranged as few_rows() knows it
  FewRowsKernel few_rows_kernel_ = nullptr;
  std::atomic<std::int64_t> column_block_ = 0;  // 0: not yet looked for; threads find the same
};

}  // namespace

std::shared_ptr<LinearImpl> packed_linear(std::int64_t out, std::int64_t in, const WeightRows& rows,
                                          std::span<const float> bias, DType type, Activation activation,
                                          PageArena* arena) {
  return std::make_shared<PackedLinear>(out, in, rows, bias, type, activation, arena);
}

}  // namespace kvpress
