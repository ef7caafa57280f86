// The non-causal attention of Compactor (https://arxiv.org/abs/2507.08143, section 3.2): the attention to a token from
// all queries of its chunk of text.
#pragma once

#include <cstdint>

#include "kvpress/press/kit/row_scores.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Cuts the tokens [first, first + n) of the block into chunks of chunk_size; the last may be shorter. Sets the first
/// carried float of entry j to ||v_j|| * sum_i softmax_j(q_i k_j) over the queries i of its chunk, mean over the group.
/// There is no mask, and logits are not divided by sqrt(d), as in kvpress. For observe(). Needs memory of one chunk per
/// thread.
void observe_chunk_attention(const LayerView& layer, std::int64_t first, std::int64_t n, std::int64_t chunk_size);

/// Fills the scores in the ranges with the carried floats, smoothed by a mean over 3 neighbours within the range and
/// standardized over all heads.
void fill_chunk_attention(const LayerView& layer, const EntryRanges& ranges, Scores& scores);

}  // namespace kvpress
