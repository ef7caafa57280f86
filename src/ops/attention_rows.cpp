#include "kvpress/ops/attention_rows.h"

#include <cstring>
#include <numbers>

#include "kvpress/ops/channels.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

const AttentionKernels& kernels_for(const AttentionArgs& args) {
  const AttentionKernels* bf16_kernels = bf16_attention_kernels();
  const bool fits = args.kv_type == DType::bf16 && args.head_dim % 2 == 0;
  return fits && bf16_kernels != nullptr ? *bf16_kernels : float_attention_kernels();
}

DType element_type(const AttentionPlan& plan) { return plan.kernels.element_size == 2 ? DType::bf16 : DType::f32; }

const void* as_elements(const AttentionArgs& args, const AttentionPlan& plan, const void* base, std::int64_t first,
                        std::int64_t n) {
  thread_local AlignedVector<float> converted;
  const void* from = element(base, args.kv_type, first * args.head_dim);
  if (args.kv_type == element_type(plan)) return from;
  converted.resize(static_cast<std::size_t>(kKeyBlock * args.head_dim));
  to_float(from, args.kv_type, converted.data(), n * args.head_dim);
  return converted.data();
}

/// The same for keys, some of which may lack channels.
const void* keys_as_elements(const AttentionArgs& args, const AttentionPlan& plan, const HeadKV& kv, std::int64_t first,
                             std::int64_t n) {
  if (first >= kv.n_thin) return as_elements(args, plan, kv.keys, first - kv.n_thin, n);
  thread_local AlignedVector<std::byte> full;
  full.resize(static_cast<std::size_t>(kKeyBlock * args.head_dim) * size_of(args.kv_type));
  const std::int64_t n_thin = std::min(n, kv.n_thin - first);
  const auto row_bytes = static_cast<std::size_t>(args.head_dim) * size_of(args.kv_type);
  spread_channels(element(kv.thin_keys, args.kv_type, first * static_cast<std::int64_t>(kv.channels.size())),
                  args.kv_type, n_thin, args.head_dim, kv.channels, full.data());
  if (n > n_thin) {
    std::memcpy(full.data() + static_cast<std::size_t>(n_thin) * row_bytes, kv.keys,
                static_cast<std::size_t>(n - n_thin) * row_bytes);
  }
  return as_elements(args, plan, full.data(), 0, n);
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionArgs& args)
    : kernels(kernels_for(args)),
      n_kv_heads(static_cast<std::int64_t>(args.kv.size())),
      group(args.n_heads / n_kv_heads),
      block_tokens(std::max<std::int64_t>(1, kQueryRows / group)),
      n_query_blocks((args.n_new + block_tokens - 1) / block_tokens),
      factor(args.scale * std::numbers::log2e_v<float>) {}

void pack_entries(const AttentionArgs& args, const AttentionPlan& plan, const HeadKV& kv, std::int64_t first,
                  std::int64_t n, std::byte* keys, std::byte* values) {
  plan.kernels.pack_keys(keys_as_elements(args, plan, kv, first, n), n, args.head_dim, keys);
  if (values != nullptr) {
    plan.kernels.pack_values(as_elements(args, plan, kv.values, first, n), n, args.head_dim, values);
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
  const DType type = element_type(plan);
  queries_.resize(static_cast<std::size_t>(n_tokens_ * width) * size_of(type));
  for (std::int64_t t = 0; t < n_tokens_; ++t) {
    const float* from = args.queries + (first_token_ + t) * args.n_heads * args.head_dim + kv_head * width;
    from_float(from, queries_.data() + static_cast<std::size_t>(t * width) * size_of(type), type, width);
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

const std::int32_t* QueryRows::seen(const AttentionArgs& args, std::int64_t kv_length, std::int64_t first,
                                    std::int64_t n) {
  seen_.resize(static_cast<std::size_t>(n_rows()));
  for (std::int64_t t = 0; t < n_tokens_; ++t) {
    const std::int64_t count = std::clamp<std::int64_t>(visible(args, kv_length, first_token_ + t) - first, 0, n);
    std::fill_n(seen_.begin() + t * group_, group_, static_cast<std::int32_t>(count));
  }
  return seen_.data();
}

}  // namespace kvpress
