// Attention of many queries over a bfloat16 cache on tiles.
#pragma once

#include <functional>

#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_tiles.h"

namespace kvpress {

/// The kernels for this attention, or null where it is not one for tiles.
const TileKernels* tile_kernels_for(const AttentionArgs& args);

/// attention(), without column sums.
void attend_tiles(const TileKernels& kernels, const AttentionArgs& args, const Activations& out);

/// attention_log_sum_exp().
void tile_log_sum_exp(const TileKernels& kernels, const AttentionArgs& args);

/// What becomes of the columns of entries [first, first + n) of a KV head.
using TakeColumns = std::function<void(std::int64_t kv_head, std::int64_t first, std::int64_t n, float* columns)>;

/// Gives take() the sum of all rows' weights of each column, or with `maxima` the largest exponent, kNoMax or about
/// that where no row saw an entry. Row factors, if any, multiply the weights of each query. n_columns(kv_head): how
/// many of a head's entries are wanted. args.log_sum_exp is an input.
void reduce_tile_columns(const TileKernels& kernels, const AttentionArgs& args, const float* row_factors, bool maxima,
                         const std::function<std::int64_t(std::int64_t)>& n_columns, const TakeColumns& take);

}  // namespace kvpress
