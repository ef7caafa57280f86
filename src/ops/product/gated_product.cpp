#include "ops/product/gated_product.h"

#include <algorithm>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/product/linear_impl.h"
#include "ops/tiles/packed_rows.h"

namespace kvpress {
namespace {

/// Fewer rows do not repay the decoding of the weights.
constexpr std::int64_t kFewestRows = 64;

const GatedKernels* gated_kernels() {
  if (isa() == Isa::amx) return amx_gated_kernels();
  return isa() == Isa::amx_software ? software_gated_kernels() : nullptr;
}

/// The weights of kTiledColumns columns from `first` on of a product whose gates are its first half.
GatedColumns columns_at(const LinearImpl& product, std::int64_t first, std::int64_t next) {
  thread_local AlignedVector<std::uint16_t> scratch[2];
  const std::int64_t n = product.out_features() / 2;
  GatedColumns columns;
  columns.gate = product.tiles(first, scratch[0]);
  columns.up = product.tiles(n + first, scratch[1]);
  if (next >= n) return columns;
  for (int i = 0; i < 2; ++i) {
    const auto bytes = product.tile_bytes(i * n + next);
    columns.next[i] = bytes.data();
    columns.next_bytes[i] = static_cast<std::int64_t>(bytes.size());
  }
  return columns;
}

}  // namespace

const GatedKernels* gated_kernels_for(const Linear& product, Activation activation, std::int64_t n_rows) {
  const GatedKernels* const kernels = gated_kernels();
  if (kernels == nullptr || activation != Activation::silu || n_rows < kFewestRows) return nullptr;
  const LinearImpl& impl = product.impl();
  const bool fits =
      impl.has_tiles() && impl.in_features() <= kMostTiledInputs && impl.out_features() % (2 * kTiledColumns) == 0;
  return fits ? kernels : nullptr;
}

void gated_product(const GatedKernels& kernels, const Linear& product, const Activations& x, const Activations& out) {
  thread_local LargePages memory;
  PackedRows rows(memory);
  rows.pack(x);
  const std::int64_t n_columns = out.cols / kTiledColumns;
  const std::int64_t per_block = (4 * threads() + n_columns - 1) / n_columns;
  rows.cut_into(per_block);
  parallel_for(rows.n_blocks() * n_columns, [&](std::int64_t item) {
    const std::int64_t block = item / n_columns, first = item % n_columns * kTiledColumns;
    // The other threads take the columns between.
    const GatedColumns columns = columns_at(product.impl(), first, first + threads() * kTiledColumns);
    const std::int64_t first_row = block * rows.block_rows();
    kernels.silu(rows.block(block), columns, std::min(rows.block_rows(), x.rows - first_row),
                 out.as<std::uint16_t>() + first_row * out.cols + first, out.cols);
  });
}

}  // namespace kvpress
