// The attention that tokens get from all queries of their chunk of text, later and earlier ones: the other part of
// Compactor (https://arxiv.org/abs/2507.08143, section 3.2).
#pragma once

#include <cstdint>

#include "kvpress/press/press.h"
#include "press/kit/row_scores.h"

namespace kvpress {

/// Of the block's tokens [first, first + n), cut into chunks of chunk_size (the last may be shorter): carried channel 0
/// becomes ||v_j|| times the sum over the chunk's queries of softmax over the chunk's keys of q k at j, mean over the
/// group. No mask, and logits are not divided by sqrt(d), as in kvpress. For observe(). Memory: a chunk a thread.
void observe_chunk_attention(const LayerView& layer, std::int64_t first, std::int64_t n, std::int64_t chunk_size);

/// What is carried, averaged over 3 neighbours among those in the range, and standardized over all heads.
void fill_chunk_attention(const LayerView& layer, const EntryRanges& ranges, Scores& scores);

}  // namespace kvpress
