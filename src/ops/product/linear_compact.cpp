// Weights that stay in fewer bits than products are computed in (compact_weights.h). A few rows are multiplied with
// them as they stand; for many they are decoded, a part at a time, to what oneDNN likes best.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/product/compact_weights.h"
#include "ops/product/few_rows_kernels.h"
#include "ops/product/linear_impl.h"
#include "ops/product/onednn_product.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using dnnl::memory;
using onednn::kTypicalRows;

/// Bytes of weights that are decoded at a time for a product of many rows: they stay in the second-level cache until
/// they are read.
constexpr std::int64_t kDecodedBytes = std::int64_t{1} << 20;
/// Up to so many may be decoded at once, where oneDNN's fastest kernels do not write to a part of each row of a result.
constexpr std::int64_t kDecodedAtOnce = std::int64_t{16} << 20;

/// y's columns from `column` on = or += a part.
void put(const Activations& part, const Activations& y, std::int64_t column, bool accumulate) {
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

class CompactLinear final : public LinearImpl {
 public:
  CompactLinear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias, DType type,
                Activation activation)
      : weights_(std::move(weights)), type_(type), products_(weights_->in_features(), type, bias, activation) {
    choose_parts();
  }

  std::int64_t in_features() const override { return weights_->in_features(); }
  std::int64_t out_features() const override { return weights_->out_features(); }
  DType type() const override { return type_; }
  std::size_t bytes() const override { return weights_->bytes(); }

  void multiply(const Activations& x, const Activations& y, bool accumulate) override {
    if (x.rows <= weights_->most_rows()) {
      weights_->multiply(x, products_.bias(), products_.activation(), accumulate, y);
    } else {
      multiply_decoded(x, 0, y, accumulate);
    }
  }

  void columns(const Activations& x, std::int64_t first, const Activations& y) override {
    multiply_decoded(x, first, y, false);
  }

  std::int64_t column_block() override { return part_columns_; }

  std::string_view kernel(std::int64_t n) override {
    if (n <= weights_->most_rows()) return weights_->kernel();
    const Part& it = all_columns_ ? *all_columns_ : full_part_;
    return products_.kernel(n, it.desc, writes_to_parts_ ? out_features() : onednn::columns_of(it.desc));
  }

  bool has_tiles() const override {
    return type_ == DType::bf16 && products_.bias().empty() && products_.activation() == Activation::none;
  }

  /// Tiles that follow each other: a panel is as wide as a tile.
  WeightTiles tiles(std::int64_t first, AlignedVector<std::uint16_t>& scratch) const override {
    const std::int64_t in = (in_features() + kTiledInputs - 1) / kTiledInputs * kTiledInputs;
    scratch.resize(static_cast<std::size_t>(in * kTiledColumns));
    WeightTiles tiles;
    tiles.stride = kColumns * 2 * static_cast<std::int64_t>(sizeof(std::uint16_t));
    tiles.n_columns = std::min(kTiledColumns, out_features() - first);
    weights_->decode(first / kColumns, vectors(first), {scratch.data(), type_, in, kColumns, in * kColumns, 2});
    for (std::int64_t v = 0; v < vectors(first); ++v) tiles.vectors[v] = scratch.data() + v * in * kColumns;
    return tiles;
  }

  std::span<const std::byte> tile_bytes(std::int64_t first) const override {
    return weights_->memory(first / kColumns, vectors(first));
  }

 private:
  struct Part {
    memory::desc desc;
    DecodedPanels to;  // without data
  };

  /// Of 16 columns, from column `first` on: as many as tiles() shows.
  std::int64_t vectors(std::int64_t first) const {
    return (std::min(kTiledColumns, out_features() - first) + kColumns - 1) / kColumns;
  }

  /// How `columns` decoded columns are arranged, for results whose rows stand y_stride apart: as oneDNN likes it best,
  /// or in plain rows of inputs.
  Part part(std::int64_t columns, std::int64_t y_stride) const {
    const std::int64_t in = in_features();
    const memory::desc any = onednn::any_weights(in, columns, type_);
    const memory::desc best = products_.describe(kTypicalRows, any, y_stride).weights_desc();
    const auto arranged = onednn::arrangement(best, type_);
    if (arranged && arranged->width > 0) {
      return {best,
              {nullptr, type_, onednn::padded_inputs_of(best), arranged->width, arranged->panel_stride,
               type_ == DType::bf16 ? 2 : 1}};
    }
    const std::int64_t width = (columns + kColumns - 1) / kColumns * kColumns;
    return {{{in, columns}, onednn::data_type(type_), memory::dims{width, 1}},
            {nullptr, type_, (in + 1) / 2 * 2, width, 0, 1}};
  }

  void choose_parts() {
    const std::int64_t out = out_features();
    const std::int64_t column_bytes = in_features() * static_cast<std::int64_t>(size_of(type_));
    const std::int64_t fitting = kDecodedBytes / column_bytes;
    part_columns_ = std::min(out, std::max<std::int64_t>(1, fitting / kPackedColumns) * kPackedColumns);
    const auto kernel = [&](std::int64_t y_stride) {
      const memory::desc weights = part(part_columns_, y_stride).desc;
      return std::string(products_.describe(kTypicalRows, weights, y_stride).impl_info_str());
    };
    writes_to_parts_ = kernel(out) == kernel(part_columns_);
    const auto part_of = [&](std::int64_t columns) { return part(columns, writes_to_parts_ ? out : columns); };
    full_part_ = part_of(part_columns_);
    if (out % part_columns_ != 0) last_part_ = part_of(out % part_columns_);
    if (!writes_to_parts_ && out * column_bytes <= kDecodedAtOnce) all_columns_ = part_of(out);
  }

  /// Part by part, from `begin` on, as many as y has columns.
  void multiply_decoded(const Activations& x, std::int64_t begin, const Activations& y, bool accumulate) {
    thread_local AlignedVector<std::byte> scratch;
    thread_local ActivationBuffer part_result;
    const std::int64_t out = out_features();
    const bool at_once = all_columns_ && y.cols == out;
    const std::int64_t step = at_once ? out : part_columns_;
    for (std::int64_t first = begin; first < begin + y.cols; first += step) {
      const std::int64_t columns = std::min(step, out - first);
      const Part& it = at_once ? *all_columns_ : columns == part_columns_ ? full_part_ : last_part_;
      const memory decoded = decode(it, first, columns, scratch);
      if (writes_to_parts_ || y.cols == columns) {
        products_.multiply(x, decoded, first, y, first - begin, accumulate);
      } else {
        const Activations result = part_result.get(y.type, y.rows, columns);
        products_.multiply(x, decoded, first, result, 0, false);
        put(result, y, first - begin, accumulate);
      }
    }
  }

  memory decode(const Part& part, std::int64_t first, std::int64_t columns, AlignedVector<std::byte>& scratch) const {
    // Plain rows may be written up to an input more than there are.
    const std::size_t bytes = part.desc.get_size() + static_cast<std::size_t>(part.to.width) * sizeof(float);
    if (scratch.size() < bytes) scratch.assign(bytes, std::byte{0});
    DecodedPanels to = part.to;
    to.data = scratch.data();
    weights_->decode(first / kColumns, (columns + kColumns - 1) / kColumns, to);
    return {part.desc, onednn::engine(), scratch.data()};
  }

  std::shared_ptr<const CompactWeights> weights_;
  DType type_;
  onednn::Products products_;
  // Decoded part_columns_ at a time, the rest by itself, or all at once.
  std::int64_t part_columns_ = 0;
  Part full_part_, last_part_;
  bool writes_to_parts_ = true;  // of rows, as fast as to whole rows
  std::optional<Part> all_columns_;
};

}  // namespace

std::shared_ptr<LinearImpl> compact_linear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias,
                                           DType type, Activation activation) {
  return std::make_shared<CompactLinear>(std::move(weights), bias, type, activation);
}

}  // namespace kvpress
