// Rows of queries as tiles take them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_tiles.h"

namespace kvpress {

inline std::int64_t group_size(const AttentionArgs& args) {
  return args.n_heads / static_cast<std::int64_t>(args.kv.size());
}

/// Rows of a KV head.
inline std::int64_t rows_of_head(const AttentionArgs& args) { return args.n_new * group_size(args); }

/// Row r of a KV head: token by token, and for each the heads of the group.
struct RowOf {
  std::int64_t token, head;

  RowOf(const AttentionArgs& args, std::int64_t kv_head, std::int64_t r)
      : token(r / group_size(args)), head(kv_head * group_size(args) + r % group_size(args)) {}
  /// Of its numbers among the queries and the results.
  std::int64_t place(const AttentionArgs& args) const { return (token * args.n_heads + head) * args.head_dim; }
  float* log_sum_exp(const AttentionArgs& args) const {
    return args.log_sum_exp == nullptr ? nullptr : args.log_sum_exp + head * args.n_new + token;
  }
};

inline void* element_of(const Activations& x, std::int64_t index) {
  return static_cast<std::byte*>(x.data) + static_cast<std::size_t>(index) * size_of(x.type);
}

/// Some rows on their way over a head, kTileBlockRows at most.
class RowBlock {
 public:
  RowBlock(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, std::int64_t n);

  /// Results are to go to their places in `out` and args.log_sum_exp.
  void write_to(const Activations& out);
  /// Denominators alone are to go to args.log_sum_exp.
  void write_log_sums();
  /// To `out` [n_rows, head_dim] and `log_sum_exp` [n_rows].
  void write_to(float* out, float* log_sum_exp);

  /// Hides all entries but [begin, end).
  void show(std::int64_t begin, std::int64_t end);

  /// What kernels take, with scratch of this thread. It points into this block.
  TileRows rows(const TileKernels& kernels, const TileHead& head) const;

 private:
  const AttentionArgs& args_;
  std::int64_t kv_head_, first_, n_;
  const float* queries_[kTileBlockRows];
  std::int32_t hidden_[kTileBlockRows], seen_[kTileBlockRows];
  void* out_[kTileBlockRows];
  float* log_sum_exp_[kTileBlockRows];
  DType out_type_ = DType::f32;
  bool has_out_ = false, has_log_sum_exp_ = false;
};

}  // namespace kvpress
