#include "ops/attention/tile_row_block.h"

#include <algorithm>
#include <numbers>

#include "kvpress/base/memory.h"
#include "ops/attention/attention_rows.h"

namespace kvpress {

RowBlock::RowBlock(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, std::int64_t n)
    : args_(args), kv_head_(kv_head), first_(first), n_(n) {
  for (std::int64_t r = 0; r < n; ++r) {
    const RowOf row(args, kv_head, first + r);
    queries_[r] = args.queries + row.place(args);
    hidden_[r] = static_cast<std::int32_t>(first_visible(args, kv_head, row.token));
    seen_[r] = static_cast<std::int32_t>(visible(args, args.kv[kv_head].n, row.token));
  }
}

void RowBlock::write_to(const Activations& out) {
  for (std::int64_t r = 0; r < n_; ++r) out_[r] = element_of(out, RowOf(args_, kv_head_, first_ + r).place(args_));
  out_type_ = out.type;
  has_out_ = true;
  if (args_.log_sum_exp != nullptr) write_log_sums();
}

void RowBlock::write_log_sums() {
  for (std::int64_t r = 0; r < n_; ++r) log_sum_exp_[r] = RowOf(args_, kv_head_, first_ + r).log_sum_exp(args_);
  has_log_sum_exp_ = true;
}

void RowBlock::write_to(float* out, float* log_sum_exp) {
  for (std::int64_t r = 0; r < n_; ++r) {
    out_[r] = out + r * args_.head_dim;
    log_sum_exp_[r] = log_sum_exp + r;
  }
  out_type_ = DType::f32;
  has_out_ = has_log_sum_exp_ = true;
}

void RowBlock::show(std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = 0; r < n_; ++r) {
    seen_[r] = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen_[r], begin, end));
    hidden_[r] = std::min(static_cast<std::int32_t>(std::clamp<std::int64_t>(hidden_[r], begin, end)), seen_[r]);
  }
}

TileRows RowBlock::rows(const TileKernels& kernels, const TileHead& head) const {
  thread_local AlignedVector<std::byte> scratch;
  scratch.resize(kernels.scratch_bytes(args_.head_dim));
  TileRows rows;
  rows.head = head;
  rows.head_dim = args_.head_dim;
  rows.n_rows = n_;
  rows.queries = queries_;
  rows.hidden = hidden_;
  rows.seen = seen_;
  rows.factor = args_.scale * std::numbers::log2e_v<float>;
  rows.soft_cap = args_.soft_cap / args_.scale;
  rows.out = has_out_ ? out_ : nullptr;
  rows.out_is_bf16 = out_type_ == DType::bf16;
  rows.log_sum_exp = has_log_sum_exp_ ? log_sum_exp_ : nullptr;
  rows.scratch = scratch.data();
  return rows;
}

}  // namespace kvpress
