#include "kvpress/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/ops/linear.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Queries of a group go through the products together: they share keys and values. About this many rows at a time.
constexpr std::int64_t kQueryRows = 128;
/// Keys of one step of the online softmax: with head_dim 64 in float32 they fill half of a 256 KiB cache.
constexpr std::int64_t kKeyBlock = 256;

struct Group {
  std::int64_t size;          // query heads per KV head
  std::int64_t block_tokens;  // tokens whose queries make up one block of rows
  std::int64_t n_blocks;

  explicit Group(const AttentionArgs& args)
      : size(args.n_heads / static_cast<std::int64_t>(args.kv.size())),
        block_tokens(std::max<std::int64_t>(1, kQueryRows / size)),
        n_blocks((args.n_new + block_tokens - 1) / block_tokens) {}
};

const void* element(const void* base, DType type, std::int64_t index) {
  return static_cast<const std::byte*>(base) + static_cast<std::size_t>(index) * size_of(type);
}

/// Rows [first, first + n) of a head's keys or values as float32: the cache's own bytes, or converted into `scratch`.
const float* float_rows(const void* base, DType type, std::int64_t first, std::int64_t n, std::int64_t head_dim,
                        AlignedVector<float>& scratch) {
  const void* from = element(base, type, first * head_dim);
  if (type == DType::f32) return static_cast<const float*>(from);
  scratch.resize(static_cast<std::size_t>(n * head_dim));
  to_float(from, type, scratch.data(), n * head_dim);
  return scratch.data();
}

/// The queries of one KV head's group for tokens [first, first + n), gathered as rows: head by head, token by token.
struct QueryRows {
  std::int64_t first_token = 0;
  std::int64_t n_tokens = 0;
  std::int64_t n_rows = 0;
  AlignedVector<float> values;

  void gather(const AttentionArgs& args, const Group& group, std::int64_t kv_head, std::int64_t block) {
    first_token = block * group.block_tokens;
    n_tokens = std::min(group.block_tokens, args.n_new - first_token);
    n_rows = n_tokens * group.size;
    values.resize(static_cast<std::size_t>(n_rows * args.head_dim));
    float* row = values.data();
    for (std::int64_t g = 0; g < group.size; ++g) {
      for (std::int64_t t = 0; t < n_tokens; ++t, row += args.head_dim) {
        const std::int64_t head = kv_head * group.size + g;
        std::copy_n(args.queries + ((first_token + t) * args.n_heads + head) * args.head_dim, args.head_dim, row);
      }
    }
  }
  std::int64_t token(std::int64_t row) const { return first_token + row % n_tokens; }
  std::int64_t head(std::int64_t row, std::int64_t kv_head, std::int64_t group_size) const {
    return kv_head * group_size + row / n_tokens;
  }
};

/// How many entries of a head with n the query of `token` sees.
std::int64_t visible(const AttentionArgs& args, std::int64_t n, std::int64_t token) {
  return n - args.n_new + token + 1;
}

void attend_block(const AttentionArgs& args, const Group& group, std::int64_t kv_head, std::int64_t block,
                  const Activations& out) {
  // Scratch of a thread lives on from block to block.
  thread_local QueryRows queries;
  thread_local AlignedVector<float> scores, accumulated, key_scratch, value_scratch;
  thread_local std::vector<float> row_max, row_sum;

  const HeadKV& kv = args.kv[static_cast<std::size_t>(kv_head)];
  const std::int64_t d = args.head_dim;
  queries.gather(args, group, kv_head, block);
  const std::int64_t rows = queries.n_rows;
  const std::int64_t n_keys = visible(args, kv.n, queries.first_token + queries.n_tokens - 1);
  scores.resize(static_cast<std::size_t>(rows * kKeyBlock));
  accumulated.assign(static_cast<std::size_t>(rows * d), 0.0f);
  row_max.assign(static_cast<std::size_t>(rows), kMinusInfinity);
  row_sum.assign(static_cast<std::size_t>(rows), 0.0f);

  for (std::int64_t first = 0; first < n_keys; first += kKeyBlock) {
    const std::int64_t n = std::min(kKeyBlock, n_keys - first);
    const float* keys = float_rows(kv.keys, args.kv_type, first, n, d, key_scratch);
    gemm(false, true, rows, n, d, args.scale, queries.values.data(), d, keys, d, 0.0f, scores.data(), n);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* row = scores.data() + r * n;
      const std::int64_t seen = std::clamp<std::int64_t>(visible(args, kv.n, queries.token(r)) - first, 0, n);
      std::fill(row + seen, row + n, 0.0f);
      if (seen == 0) continue;
      const auto i = static_cast<std::size_t>(r);
      const float max = std::max(row_max[i], max_value(row, seen));
      const float correction = std::exp(row_max[i] - max);
      row_max[i] = max;
      row_sum[i] = row_sum[i] * correction + exp_shifted(row, seen, max);
      if (correction != 1.0f) scale(accumulated.data() + r * d, d, correction);
    }
    const float* values = float_rows(kv.values, args.kv_type, first, n, d, value_scratch);
    gemm(false, false, rows, d, n, 1.0f, scores.data(), n, values, d, 1.0f, accumulated.data(), d);
  }

  for (std::int64_t r = 0; r < rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    float* row = accumulated.data() + r * d;
    scale(row, d, 1.0f / row_sum[i]);
    const std::int64_t head = queries.head(r, kv_head, group.size);
    const std::int64_t at = queries.token(r) * args.n_heads + head;
    from_float(row, static_cast<std::byte*>(out.data) + static_cast<std::size_t>(at * d) * size_of(out.type), out.type,
               d);
    if (args.log_sum_exp != nullptr) {
      args.log_sum_exp[head * args.n_new + queries.token(r)] = row_max[i] + std::log(row_sum[i]);
    }
  }
}

}  // namespace

void attention(const AttentionArgs& args, const Activations& out) {
  const Group group(args);
  const auto n_kv_heads = static_cast<std::int64_t>(args.kv.size());
  // The last blocks see the most keys: they go first, so that the threads end together.
  parallel_for(n_kv_heads * group.n_blocks, [&](std::int64_t item) {
    attend_block(args, group, item % n_kv_heads, group.n_blocks - 1 - item / n_kv_heads, out);
  });
}

void attention_plain(const AttentionArgs& args, const Activations& out) {
  const std::int64_t d = args.head_dim;
  const auto group_size = args.n_heads / static_cast<std::int64_t>(args.kv.size());
  std::vector<float> key(static_cast<std::size_t>(d));
  for (std::int64_t h = 0; h < args.n_heads; ++h) {
    const HeadKV& kv = args.kv[static_cast<std::size_t>(h / group_size)];
    for (std::int64_t t = 0; t < args.n_new; ++t) {
      const float* query = args.queries + (t * args.n_heads + h) * d;
      const std::int64_t n = visible(args, kv.n, t);
      std::vector<double> weights(static_cast<std::size_t>(n));
      double max = kMinusInfinity;
      for (std::int64_t j = 0; j < n; ++j) {
        to_float(element(kv.keys, args.kv_type, j * d), args.kv_type, key.data(), d);
        double dot = 0;
        for (std::int64_t c = 0; c < d; ++c) dot += static_cast<double>(query[c]) * key[static_cast<std::size_t>(c)];
        weights[static_cast<std::size_t>(j)] = dot * args.scale;
        max = std::max(max, weights[static_cast<std::size_t>(j)]);
      }
      double sum = 0;
      for (double& w : weights) sum += w = std::exp(w - max);
      if (args.log_sum_exp != nullptr) args.log_sum_exp[h * args.n_new + t] = static_cast<float>(max + std::log(sum));
      std::vector<double> result(static_cast<std::size_t>(d), 0.0);
      for (std::int64_t j = 0; j < n; ++j) {
        to_float(element(kv.values, args.kv_type, j * d), args.kv_type, key.data(), d);
        for (std::size_t c = 0; c < result.size(); ++c)
          result[c] += weights[static_cast<std::size_t>(j)] / sum * key[c];
      }
      std::vector<float> row(result.begin(), result.end());
      const auto at = static_cast<std::size_t>((t * args.n_heads + h) * d) * size_of(out.type);
      from_float(row.data(), static_cast<std::byte*>(out.data) + at, out.type, d);
    }
  }
}

void attention_column_sums(const AttentionArgs& args, std::span<float* const> sums) {
  const Group group(args);
  const auto n_kv_heads = static_cast<std::int64_t>(args.kv.size());
  std::int64_t longest = 0;
  for (const HeadKV& kv : args.kv) longest = std::max(longest, kv.n);
  const std::int64_t n_key_blocks = (longest + kKeyBlock - 1) / kKeyBlock;
  // A key block of a head is one thread's alone, so that sums need no locks and come out the same every time.
  parallel_for(n_kv_heads * n_key_blocks, [&](std::int64_t item) {
    thread_local QueryRows queries;
    thread_local AlignedVector<float> scores, key_scratch;
    const std::int64_t kv_head = item % n_kv_heads;
    const std::int64_t first = item / n_kv_heads * kKeyBlock;
    const HeadKV& kv = args.kv[static_cast<std::size_t>(kv_head)];
    if (first >= kv.n) return;
    const std::int64_t n = std::min(kKeyBlock, kv.n - first);
    const float* keys = float_rows(kv.keys, args.kv_type, first, n, args.head_dim, key_scratch);
    std::vector<float> total(static_cast<std::size_t>(n), 0.0f);
    for (std::int64_t block = 0; block < group.n_blocks; ++block) {
      const std::int64_t last_token = std::min((block + 1) * group.block_tokens, args.n_new) - 1;
      if (visible(args, kv.n, last_token) <= first) continue;
      queries.gather(args, group, kv_head, block);
      scores.resize(static_cast<std::size_t>(queries.n_rows * n));
      gemm(false, true, queries.n_rows, n, args.head_dim, args.scale, queries.values.data(), args.head_dim, keys,
           args.head_dim, 0.0f, scores.data(), n);
      for (std::int64_t r = 0; r < queries.n_rows; ++r) {
        const std::int64_t seen = std::clamp<std::int64_t>(visible(args, kv.n, queries.token(r)) - first, 0, n);
        float* row = scores.data() + r * n;
        const std::int64_t head = queries.head(r, kv_head, group.size);
        exp_shifted(row, seen, args.log_sum_exp[head * args.n_new + queries.token(r)]);
        add(row, total.data(), seen);
      }
    }
    float* to = sums[static_cast<std::size_t>(kv_head)] + first;
    for (std::int64_t j = 0; j < n; ++j) to[j] += total[static_cast<std::size_t>(j)] / static_cast<float>(group.size);
  });
}

void attention_mean_weights(const AttentionArgs& args, std::span<float* const> weights) {
  const auto n_kv_heads = static_cast<std::int64_t>(args.kv.size());
  const auto group_size = args.n_heads / n_kv_heads;
  const std::int64_t d = args.head_dim;
  // One block for all queries of the window: they are few, their softmax is taken over whole rows.
  parallel_for(n_kv_heads, [&](std::int64_t kv_head) {
    const HeadKV& kv = args.kv[static_cast<std::size_t>(kv_head)];
    float* to = weights[static_cast<std::size_t>(kv_head)];
    std::fill_n(to, kv.n, 0.0f);
    AlignedVector<float> key_scratch;
    const float* keys = float_rows(kv.keys, args.kv_type, 0, kv.n, d, key_scratch);
    AlignedVector<float> scores(static_cast<std::size_t>(args.n_new * kv.n));
    for (std::int64_t g = 0; g < group_size; ++g) {
      const std::int64_t head = kv_head * group_size + g;
      gemm(false, true, args.n_new, kv.n, d, args.scale, args.queries + head * d, args.n_heads * d, keys, d, 0.0f,
           scores.data(), kv.n);
      for (std::int64_t t = 0; t < args.n_new; ++t) {
        float* row = scores.data() + t * kv.n;
        const std::int64_t seen = visible(args, kv.n, t);
        const float sum = exp_shifted(row, seen, max_value(row, seen));
        scale(row, seen, 1.0f / (sum * static_cast<float>(args.n_new * group_size)));
        add(row, to, seen);
      }
    }
  });
}

}  // namespace kvpress
