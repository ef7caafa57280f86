// What attention and the gathering of its weights share: which kernels an attention takes, and the rows of queries that
// pass over one KV head.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_kernels.h"

namespace kvpress {

inline const void* element(const void* base, DType type, std::int64_t index) {
  return static_cast<const std::byte*>(base) + static_cast<std::size_t>(index) * size_of(type);
}

/// How many entries of a head with n the query of `token` sees.
inline std::int64_t visible(const AttentionArgs& args, std::int64_t n, std::int64_t token) {
  return n - args.n_new + token + 1;
}

/// The first entry of a KV head that the query of `token` sees.
inline std::int64_t first_visible(const AttentionArgs& args, std::int64_t kv_head, std::int64_t token) {
  return args.first_seen.empty() ? 0 : args.first_seen[kv_head][token];
}

inline std::int64_t longest_head(const AttentionArgs& args) {
  std::int64_t longest = 0;
  for (const HeadKV& kv : args.kv) longest = std::max(longest, kv.n);
  return longest;
}

/// How one attention is cut up. Nothing here depends on the number of threads: results are the same for any.
struct AttentionPlan {
  /// Queries of a group share keys and values: about this many rows pass over a block of keys together.
  static constexpr std::int64_t kQueryRows = 96;
  /// Bytes of weights that a thread holds for column sums: over long heads fewer rows pass together.
  static constexpr std::int64_t kKeptBytes = std::int64_t{4} << 20;

  const AttentionKernels& kernels;
  std::int64_t n_kv_heads;
  bool keeps_weights;         ///< column sums come from the weights of the one pass
  std::int64_t group;         ///< query heads per KV head
  std::int64_t block_tokens;  ///< tokens whose queries make up one block of rows
  std::int64_t n_query_blocks;
  float factor;    ///< from scores to base-2 exponents
  float soft_cap;  ///< of scores as products give them, before scale; 0: none

  explicit AttentionPlan(const AttentionArgs& args);
};

/// Packs entries [first, first + n) of a KV head, n <= kKeyBlock; values only where `values` is not null.
void pack_entries(const AttentionArgs& args, const AttentionPlan& plan, const HeadKV& kv, std::int64_t first,
                  std::int64_t n, std::byte* keys, std::byte* values);
std::size_t packed_keys_bytes(const AttentionArgs& args, const AttentionPlan& plan);
std::size_t packed_values_bytes(const AttentionArgs& args, const AttentionPlan& plan);

/// What rows see of a block of entries: row r those of [hidden[r], seen[r]). seen[r] is 0 where it sees none.
struct Sight {
  std::vector<std::int32_t> seen, hidden;
  bool hides = false;  ///< whether any hidden[r] is above 0

  /// As kernels take it, from row `first` on.
  const std::int32_t* hidden_from(std::int64_t first) const { return hides ? hidden.data() + first : nullptr; }
};

/// One block of rows: token by token, and for each token the heads of the group, so that neighbours see the same keys.
class QueryRows {
 public:
  /// Gathers the queries of a KV head's group, in the kernels' element type.
  void gather(const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head, std::int64_t block);
  /// What the element type rounded off the queries, for products that need more digits.
  void gather_rest(const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head);

  std::int64_t n_rows() const { return n_tokens_ * group_; }
  DType type() const { return type_; }
  std::int64_t token(std::int64_t row) const { return first_token_ + row / group_; }
  std::int64_t last_token() const { return first_token_ + n_tokens_ - 1; }
  /// The query head, counted within the group.
  std::int64_t head(std::int64_t row) const { return row % group_; }
  const std::byte* data() const { return queries_.data(); }
  const std::byte* rest() const { return rest_.data(); }

  /// What each row sees of the n entries of a KV head from `first` on.
  void look(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, std::int64_t n, Sight& sight) const;

 private:
  std::int64_t first_token_ = 0;
  std::int64_t n_tokens_ = 0;
  std::int64_t group_ = 1;
  DType type_ = DType::f32;
  AlignedVector<std::byte> queries_;
  AlignedVector<std::byte> rest_;
};

/// Calls body(first, n) for row groups of a block.
template <typename Body>
void for_row_groups(std::int64_t n_rows, Body&& body) {
  for (std::int64_t first = 0; first < n_rows; first += kRowGroup) body(first, std::min(kRowGroup, n_rows - first));
}

}  // namespace kvpress
