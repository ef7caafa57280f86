// The first products of a gated feed-forward and its gate in one, on tiles: what the products give is never stored.
#pragma once

#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/gated_tiles.h"

namespace kvpress {

/// The kernels for so many rows, or null where they are few or this is not a product for tiles: in bfloat16, without
/// bias, of 2 n columns with n a multiple of 128, on a processor with tiles.
const GatedKernels* gated_kernels_for(const Linear& product, Activation activation, std::int64_t n_rows);

/// The product's first n columns are gates, the others what they are gates of: x [rows, in], out [rows, n] = silu(gate)
/// * up, both in bfloat16.
void gated_product(const GatedKernels& kernels, const Linear& product, const Activations& x, const Activations& out);

}  // namespace kvpress
