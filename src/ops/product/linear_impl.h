// What Linear does, by how its weights are held: packed by oneDNN (linear_packed.cpp), or in fewer bits
// (linear_compact.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "kvpress/base/memory.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/weight_tiles.h"

namespace kvpress {

/// Linear's functions say what these do. There is at least one row.
class LinearImpl {
 public:
  LinearImpl() = default;
  LinearImpl(const LinearImpl&) = delete;
  LinearImpl& operator=(const LinearImpl&) = delete;
  virtual ~LinearImpl() = default;

  virtual std::int64_t in_features() const = 0;
  virtual std::int64_t out_features() const = 0;
  virtual DType type() const = 0;
  virtual std::size_t bytes() const = 0;
  virtual void multiply(const Activations& x, const Activations& y, bool accumulate) = 0;
  virtual void columns(const Activations& x, std::int64_t first, const Activations& y) = 0;
  virtual std::int64_t column_block() = 0;
  virtual std::string_view kernel(std::int64_t n) = 0;

  /// Whether tiles() shows the weights, and they are all there is to the product: no bias, no activation.
  virtual bool has_tiles() const = 0;
  /// Columns [first, first + kTiledColumns), or what is left; `first` is a multiple. What is not held as tiles read it
  /// is decoded to `scratch`.
  virtual WeightTiles tiles(std::int64_t first, AlignedVector<std::uint16_t>& scratch) const = 0;
  /// The bytes that tiles() of the same columns will read, for prefetching; none if they are not known.
  virtual std::span<const std::byte> tile_bytes(std::int64_t first) const = 0;
};

std::shared_ptr<LinearImpl> packed_linear(std::int64_t out, std::int64_t in, const WeightRows& rows,
                                          std::span<const float> bias, DType type, Activation activation,
                                          PageArena* arena);
std::shared_ptr<LinearImpl> compact_linear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias,
                                           DType type, Activation activation);

/// oneDNN packs 16, 32, 48 or 64 columns together: pieces of a matrix are multiples of this many.
inline constexpr std::int64_t kPackedColumns = 192;

}  // namespace kvpress
