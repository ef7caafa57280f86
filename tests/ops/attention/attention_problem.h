// An attention to be computed by different kernels, and the comparison of what they give.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "kvpress/ops/attention/attention.h"
#include "ops/random.h"
#include "ops/rowwise.h"

namespace kvpress::testing {

/// A cache of heads that hold different numbers of tokens, and the queries of its newest n_new tokens.
struct Problem {
  std::int64_t head_dim;
  std::int64_t n_new;
  std::int64_t n_heads;
  DType type;
  std::vector<std::vector<std::byte>> keys, values;
  std::vector<HeadKV> heads;
  std::vector<float> queries;
  std::vector<float> log_sum_exp;
  float soft_cap = 0;

  Problem(std::vector<std::int64_t> lengths, std::int64_t group, std::int64_t head_dim_, std::int64_t n_new_,
          DType type_, std::uint32_t seed = 1)
      : head_dim(head_dim_), n_new(n_new_), n_heads(group * static_cast<std::int64_t>(lengths.size())), type(type_) {
    for (const std::int64_t n : lengths) {
      keys.push_back(stored(random_values(n * head_dim, seed++)));
      values.push_back(stored(random_values(n * head_dim, seed++)));
      heads.push_back({keys.back().data(), values.back().data(), n});
    }
    // Queries that bfloat16 holds exactly: what is left of a difference is the kernel's own.
    queries = rounded_to_bf16(random_values(n_new * n_heads * head_dim, seed++, 1.5f));
    log_sum_exp.resize(static_cast<std::size_t>(n_heads * n_new));
  }

  std::vector<std::byte> stored(const std::vector<float>& x) const {
    std::vector<std::byte> bytes(x.size() * size_of(type));
    from_float(x.data(), bytes.data(), type, static_cast<std::int64_t>(x.size()));
    return bytes;
  }

  /// Head h's oldest entries in 8 or 4 bits, as many whole groups as `part` of it holds; of the keys of the first
  /// group only `channels`, if any.
  void quantize(int bits, double part, std::vector<std::int32_t> channels = {}) {
    channels_ = std::move(channels);
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const auto n_groups = static_cast<std::int64_t>(part * static_cast<double>(heads[h].n)) / kKVGroup;
      if (n_groups == 0) continue;
      const std::int64_t d = head_dim;
      const auto rows = static_cast<std::size_t>(kKVGroup * d);
      std::vector<float> all(rows * static_cast<std::size_t>(n_groups));
      auto& k = blocks_.emplace_back(kv_block_bytes(d, bits) * static_cast<std::size_t>(n_groups));
      to_float(keys[h].data(), type, all.data(), static_cast<std::int64_t>(all.size()));
      for (std::int64_t g = 0; g < n_groups; ++g) {
        quantize_keys(all.data() + g * kKVGroup * d, d, bits,
                      k.data() + kv_block_bytes(d, bits) * static_cast<std::size_t>(g));
      }
      HeadKV& head = heads[h];
      head.older = {k.data(), nullptr, n_groups * kKVGroup, bits, nullptr, 0};
      if (!channels_.empty()) {
        auto& thin = blocks_.emplace_back(kv_block_bytes(static_cast<std::int64_t>(channels_.size()), bits));
        take_lines(k.data(), d, bits, channels_, thin.data());
        head.older.keys += kv_block_bytes(d, bits);
        head.older.thin_keys = thin.data();
        head.older.n_thin = kKVGroup;
        head.channels = channels_;
      }
      const std::size_t value_bytes = kv_block_bytes(value_lines(d), bits);
      auto& v = blocks_.emplace_back(value_bytes * static_cast<std::size_t>(n_groups));
      to_float(values[h].data(), type, all.data(), static_cast<std::int64_t>(all.size()));
      for (std::int64_t g = 0; g < n_groups; ++g) {
        quantize_values(all.data() + g * kKVGroup * d, d, bits, v.data() + value_bytes * static_cast<std::size_t>(g));
      }
      head.older.values = v.data();
      const std::size_t bytes = all.size() * size_of(type);
      head.keys = keys[h].data() + bytes;
      head.values = values[h].data() + bytes;
    }
  }

  /// Turns all that is quantized into entries of the cache's type, rounded once more.
  void decode() {
    for (std::size_t h = 0; h < heads.size(); ++h) {
      HeadKV& head = heads[h];
      std::vector<float> all(static_cast<std::size_t>(head.n * head_dim));
      keys_to_float(head, type, head_dim, 0, head.n, all.data());
      const auto decoded_keys = stored(all);
      values_to_float(head, type, head_dim, 0, head.n, all.data());
      keys[h] = decoded_keys;
      values[h] = stored(all);
      head = {keys[h].data(), values[h].data(), head.n};
    }
  }

  AttentionArgs args() {
    AttentionArgs args = {
        queries.data(), n_new, n_heads,           head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)),
        heads,          type,  log_sum_exp.data()};
    args.first_seen = first_pointers_;
    args.soft_cap = soft_cap;
    return args;
  }

  /// Queries see no more than the last `window` entries, in every other head fewer, with jumps as where entries in
  /// between were evicted.
  void set_window(std::int64_t window) {
    for (std::size_t h = 0; h < heads.size(); ++h) {
      auto& row = first_.emplace_back();
      std::int32_t first = 0;
      for (std::int64_t i = 0; i < n_new; ++i) {
        const std::int64_t end = heads[h].n - n_new + i + 1;
        const std::int64_t width = std::max<std::int64_t>(1, window - (h % 2 == 1 ? (i / 5 * 7) % 40 : 0));
        first = std::max(first, static_cast<std::int32_t>(std::max<std::int64_t>(0, end - width)));
        row.push_back(first);
      }
    }
    for (const auto& row : first_) first_pointers_.push_back(row.data());
  }
  std::int64_t first_seen(std::int64_t kv_head, std::int64_t query) const {
    return first_.empty() ? 0 : first_[static_cast<std::size_t>(kv_head)][static_cast<std::size_t>(query)];
  }

  template <typename Kernel>
  std::vector<float> run(Kernel kernel, DType out_type = DType::f32) {
    const std::int64_t cols = n_heads * head_dim;
    std::vector<std::byte> bytes(static_cast<std::size_t>(n_new * cols) * size_of(out_type), std::byte{0x7f});
    kernel(args(), Activations{bytes.data(), out_type, n_new, cols});
    std::vector<float> out(static_cast<std::size_t>(n_new * cols));
    to_float(bytes.data(), out_type, out.data(), n_new * cols);
    return out;
  }

 private:
  std::vector<std::vector<std::int32_t>> first_;
  std::vector<const std::int32_t*> first_pointers_;
  std::deque<std::vector<std::byte>> blocks_;
  std::vector<std::int32_t> channels_;
};

/// The largest difference; NaN where either is no number.
inline float worst(const std::vector<float>& a, const std::vector<float>& b) {
  float difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float d = std::fabs(a[i] - b[i]);
    if (std::isnan(d)) return d;
    difference = std::max(difference, d);
  }
  return difference;
}

}  // namespace kvpress::testing
