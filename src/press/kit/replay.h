// Runs tokens over the current cache once more, so that a press can score entries by the attention to them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kvpress/ops/attention/attention.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Runs `tokens` at the positions after the text and calls `body` after the attention of each layer that is compressed.
/// Then the new entries of that layer are removed, so that at most one layer holds them; a layer with a window drops
/// none of the text's. With `log_sum_exp` the block has the logarithms of the softmax denominators. Throws PressError
/// where the model has learned positions, and not enough of them.
void replay(const ContextView& context, std::span<const std::int32_t> tokens, bool log_sum_exp,
            const std::function<void(const AttentionBlock&)>& body);

/// Arguments for the attention of the block over `heads`, one per KV head. The last block.n_new entries are those of
/// the block. With `per_query_head` each head is listed once per query head of its group, so that column sums are
/// separate for each query head. `kv` owns the list and must outlive the arguments.
AttentionArgs attention_over(const AttentionBlock& block, std::span<const KVHead* const> heads, bool per_query_head,
                             float* log_sum_exp, std::vector<HeadKV>& kv);

/// The index of the first entry of a head with a position of at least `position`.
std::int64_t first_entry_from(const KVHead& head, std::int64_t position);

}  // namespace kvpress
