#include "ops/attention/attention_rows.h"

#include <numbers>

#include "ops/channels.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

const AttentionKernels& kernels_for(const AttentionArgs& args) {
  const AttentionKernels* bf16_kernels = bf16_attention_kernels();
  const bool fits = args.kv_type == DType::bf16 && args.head_dim % 2 == 0;
  return fits && bf16_kernels != nullptr ? *bf16_kernels : float_attention_kernels();
}

DType element_type(const AttentionPlan& plan) { return plan.kernels.element_size == 2 ? DType::bf16 : DType::f32; }

/// How many rows pass over a head's keys together.
std::int64_t rows_together(const AttentionArgs& args, bool keeps_weights) {
  if (!keeps_weights) return AttentionPlan::kQueryRows;
  const std::int64_t row_bytes = longest_head(args) * static_cast<std::int64_t>(sizeof(float));
  return std::clamp(AttentionPlan::kKeptBytes / std::max<std::int64_t>(1, row_bytes), kRowGroup,
                    AttentionPlan::kQueryRows);
}

/// Rows in float32, in the kernels' element type.
const void* as_elements(const AttentionArgs& args, const AttentionPlan& plan, const AlignedVector<float>& rows,
                        std::int64_t n) {
  thread_local AlignedVector<std::byte> converted;
  if (element_type(plan) == DType::f32) return rows.data();
  converted.resize(static_cast<std::size_t>(kKeyBlock * args.head_dim) * size_of(element_type(plan)));
  from_float(rows.data(), converted.data(), element_type(plan), n * args.head_dim);
  return converted.data();
}

/// Calls read(group, from, n) for the quantized ones of entries [first, first + n), group by group: entries [from,
/// from + n) of that group. Returns how many they are.
template <typename Read>
std::int64_t read_groups(const QuantizedKV& kv, std::int64_t first, std::int64_t n, Read&& read) {
  const std::int64_t end = std::min(first + n, kv.n);
  for (std::int64_t at = first; at < end;) {
    const std::int64_t group = at / kKVGroup;
    const std::int64_t upto = std::min(end, (group + 1) * kKVGroup);
    read(group, at % kKVGroup, upto - at);
    at = upto;
  }
  return std::max<std::int64_t>(0, end - first);
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionArgs& args)
    : kernels(kernels_for(args)),
      n_kv_heads(static_cast<std::int64_t>(args.kv.size())),
      keeps_weights(!args.column_sums.empty()),
      group(args.n_heads / n_kv_heads),
      block_tokens(std::max<std::int64_t>(1, rows_together(args, keeps_weights) / group)),
      n_query_blocks((args.n_new + block_tokens - 1) / block_tokens),
      factor(args.scale * std::numbers::log2e_v<float>),
      soft_cap(args.soft_cap / args.scale) {}

void cap_scores(float* scores, std::int64_t n_rows, std::int64_t n_keys, float cap) {
  if (cap <= 0) return;
  for (std::int64_t r = 0; r < n_rows; ++r) soft_cap(scores + r * kKeyBlock, n_keys, cap);
}

void keys_to_float(const HeadKV& kv, DType type, std::int64_t head_dim, std::int64_t first, std::int64_t n,
                   float* out) {
  const auto width = static_cast<std::int64_t>(kv.channels.size());
  thread_local AlignedVector<float> stored;
  const auto spread = [&](std::int64_t n_thin) {
    spread_channels(stored.data(), DType::f32, n_thin, head_dim, kv.channels, out);
    out += n_thin * head_dim;
  };
  const QuantizedKV& older = kv.older;
  std::int64_t done = read_groups(older, first, n, [&](std::int64_t group, std::int64_t from, std::int64_t count) {
    const std::int64_t n_thin_groups = older.n_thin / kKVGroup;
    if (group < n_thin_groups) {
      stored.resize(static_cast<std::size_t>(count * width));
      decode_keys(older.thin_keys + static_cast<std::size_t>(group) * kv_block_bytes(width, older.bits), width,
                  older.bits, from, count, stored.data());
      spread(count);
    } else {
      decode_keys(older.keys + static_cast<std::size_t>(group - n_thin_groups) * kv_block_bytes(head_dim, older.bits),
                  head_dim, older.bits, from, count, out);
      out += count * head_dim;
    }
  });
  const std::int64_t at = first + done - older.n;  // among those that are not quantized
  const std::int64_t n_thin = std::clamp<std::int64_t>(kv.n_thin - at, 0, n - done);
  if (n_thin > 0) {
    stored.resize(static_cast<std::size_t>(n_thin * width));
    to_float(element(kv.thin_keys, type, at * width), type, stored.data(), n_thin * width);
    spread(n_thin);
    done += n_thin;
  }
  if (done < n) {
    const std::int64_t from = std::max<std::int64_t>(0, at - kv.n_thin);
    to_float(element(kv.keys, type, from * head_dim), type, out, (n - done) * head_dim);
  }
}

void values_to_float(const HeadKV& kv, DType type, std::int64_t head_dim, std::int64_t first, std::int64_t n,
                     float* out) {
  const QuantizedKV& older = kv.older;
  const std::size_t bytes = kv_block_bytes(value_lines(head_dim), older.bits);
  const std::int64_t done =
      read_groups(older, first, n, [&](std::int64_t group, std::int64_t from, std::int64_t count) {
        decode_values(older.values + static_cast<std::size_t>(group) * bytes, head_dim, older.bits, from, count, out);
        out += count * head_dim;
      });
  if (done == n) return;
  to_float(element(kv.values, type, (first + done - older.n) * head_dim), type, out, (n - done) * head_dim);
}

void pack_entries(const AttentionArgs& args, const AttentionPlan& plan, const HeadKV& kv, std::int64_t first,
                  std::int64_t n, std::byte* keys, std::byte* values) {
  thread_local AlignedVector<float> rows;
  const bool same_type = args.kv_type == element_type(plan);
  if (!same_type || first < kv.older.n + kv.n_thin) rows.resize(static_cast<std::size_t>(kKeyBlock * args.head_dim));
  const std::int64_t at = first - kv.older.n;
  if (same_type && at >= kv.n_thin) {
    plan.kernels.pack_keys(element(kv.keys, args.kv_type, (at - kv.n_thin) * args.head_dim), n, args.head_dim, keys);
  } else {
    keys_to_float(kv, args.kv_type, args.head_dim, first, n, rows.data());
    plan.kernels.pack_keys(as_elements(args, plan, rows, n), n, args.head_dim, keys);
  }
  if (values == nullptr) return;
  if (same_type && at >= 0) {
    plan.kernels.pack_values(element(kv.values, args.kv_type, at * args.head_dim), n, args.head_dim, values);
  } else {
    values_to_float(kv, args.kv_type, args.head_dim, first, n, rows.data());
    plan.kernels.pack_values(as_elements(args, plan, rows, n), n, args.head_dim, values);
  }
}

std::size_t packed_keys_bytes(const AttentionArgs& args, const AttentionPlan& plan) {
  return static_cast<std::size_t>(kKeyBlock * args.head_dim * plan.kernels.element_size);
}

std::size_t packed_values_bytes(const AttentionArgs& args, const AttentionPlan& plan) {
  return static_cast<std::size_t>(kKeyBlock * padded_head_dim(args.head_dim) * plan.kernels.element_size);
}

void QueryRows::gather(const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head, std::int64_t block) {
  group_ = plan.group;
  first_token_ = block * plan.block_tokens;
  n_tokens_ = std::min(plan.block_tokens, args.n_new - first_token_);
  const std::int64_t width = group_ * args.head_dim;  // the heads of a group stand side by side
  type_ = element_type(plan);
  queries_.resize(static_cast<std::size_t>(n_tokens_ * width) * size_of(type_));
  for (std::int64_t t = 0; t < n_tokens_; ++t) {
    const float* from = args.queries + (first_token_ + t) * args.n_heads * args.head_dim + kv_head * width;
    from_float(from, queries_.data() + static_cast<std::size_t>(t * width) * size_of(type_), type_, width);
  }
}

void QueryRows::gather_rest(const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head) {
  rest_.clear();
  const DType type = element_type(plan);
  if (type == DType::f32) return;
  const std::int64_t width = group_ * args.head_dim;
  rest_.resize(queries_.size());
  AlignedVector<float> rounded(static_cast<std::size_t>(width));
  for (std::int64_t t = 0; t < n_tokens_; ++t) {
    const float* from = args.queries + (first_token_ + t) * args.n_heads * args.head_dim + kv_head * width;
    const std::size_t at = static_cast<std::size_t>(t * width) * size_of(type);
    to_float(queries_.data() + at, type, rounded.data(), width);
    for (std::int64_t i = 0; i < width; ++i) {
      const auto k = static_cast<std::size_t>(i);
      rounded[k] = from[i] - rounded[k];
    }
    from_float(rounded.data(), rest_.data() + at, type, width);
  }
}

void QueryRows::look(const AttentionArgs& args, std::int64_t kv_head, std::int64_t first, std::int64_t n,
                     Sight& sight) const {
  const std::int64_t kv_length = args.kv[kv_head].n;
  sight.seen.resize(static_cast<std::size_t>(n_rows()));
  sight.hidden.resize(sight.seen.size());
  sight.hides = false;
  for (std::int64_t t = 0; t < n_tokens_; ++t) {
    const std::int64_t token = first_token_ + t;
    std::int64_t count = std::clamp<std::int64_t>(visible(args, kv_length, token) - first, 0, n);
    std::int64_t hidden = std::max<std::int64_t>(0, first_visible(args, kv_head, token) - first);
    if (hidden >= count) count = hidden = 0;
    sight.hides |= hidden > 0;
    std::fill_n(sight.seen.begin() + t * group_, group_, static_cast<std::int32_t>(count));
    std::fill_n(sight.hidden.begin() + t * group_, group_, static_cast<std::int32_t>(hidden));
  }
}

}  // namespace kvpress
