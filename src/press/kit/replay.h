// A second look at a context: tokens are run once more over the cache as it stands, and what they attend to says what
// is worth keeping.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kvpress/ops/attention/attention.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Runs `tokens` at the positions after the text. `body` is shown each layer's attention; then the entries that the
/// layer got are dropped again, so that no more than one layer holds them at any time. With `log_sum_exp` the block
/// tells each softmax's denominator.
void replay(const ContextView& context, std::span<const std::int32_t> tokens, bool log_sum_exp,
            const std::function<void(const AttentionBlock&)>& body);

/// The block's attention over `heads` (one a KV head), whose last block.n_new entries are the block's own. With
/// `per_query_head` each head is listed once for each query head of its group, so that what is gathered is gathered
/// for each of them. `kv` holds the list and must live as long as the arguments do.
AttentionArgs attention_over(const AttentionBlock& block, std::span<const KVHead* const> heads, bool per_query_head,
                             float* log_sum_exp, std::vector<HeadKV>& kv);

/// Where the entries of the tokens from `position` on begin in a head.
std::int64_t first_entry_from(const KVHead& head, std::int64_t position);

}  // namespace kvpress
