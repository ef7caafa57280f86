#include "press/kit/chunk_attention.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/threads.h"
#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// sums[j] += sum over queries of their softmax weight at key j. A few queries at a time: chunks may be long.
void add_column_sums(Matrix<const float> queries, const float* keys, std::int64_t n, float* sums) {
  constexpr std::int64_t kQueries = 64;
  const std::int64_t d = queries.cols;
  AlignedVector<float> logits(static_cast<std::size_t>(std::min(kQueries, queries.rows) * n));
  for (std::int64_t first = 0; first < queries.rows; first += kQueries) {
    const std::int64_t rows = std::min(kQueries, queries.rows - first);
    gemm(false, true, rows, n, d, 1.0f, queries.row(first), queries.stride, keys, d, 0.0f, logits.data(), n);
    for (std::int64_t i = 0; i < rows; ++i) {
      float* row = logits.data() + i * n;
      const float inverse = 1.0f / exp_shifted(row, n, max_value(row, n));
      for (std::int64_t j = 0; j < n; ++j) sums[j] += row[j] * inverse;
    }
  }
}

}  // namespace

void observe_chunk_attention(const LayerView& layer, std::int64_t first, std::int64_t n, std::int64_t chunk_size) {
  const AttentionBlock& block = layer.block;
  const std::int64_t d = block.config.head_dim;
  const std::int64_t group = block.config.group_size();
  const std::int64_t n_chunks = n / chunk_size + (n % chunk_size != 0 ? 1 : 0);
  parallel_for(layer.n_kv_heads() * n_chunks, [&](std::int64_t item) {
    const std::int64_t h = item / n_chunks;
    const std::int64_t begin = first + item % n_chunks * chunk_size;
    const std::int64_t size = std::min(chunk_size, first + n - begin);
    const KVHead& head = layer.head(h);
    const std::int64_t slot = head.size() - block.n_new + begin;
    AlignedVector<float> rows(static_cast<std::size_t>(size * d));
    head.keys_as_float(slot, size, rows.data());
    AlignedVector<float> sums(static_cast<std::size_t>(size), 0.0f);
    for (std::int64_t q = h * group; q < (h + 1) * group; ++q) {
      add_column_sums(block.queries.block(begin, size).columns(q * d, d), rows.data(), size, sums.data());
    }
    head.values_as_float(slot, size, rows.data());
    float* out = layer.carried(h, 0).data() + slot;
    for (std::int64_t j = 0; j < size; ++j) {
      const std::span<const float> value(rows.data() + j * d, static_cast<std::size_t>(d));
      out[j] = sums[j] / static_cast<float>(group) * std::sqrt(dot(value, value));
    }
  });
}

void fill_chunk_attention(const LayerView& layer, const EntryRanges& ranges, Scores& scores) {
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    const EntryRange& range = ranges[h];
    const auto row = in_range(scores[h], range);
    std::copy_n(layer.carried(h, 0).begin() + range.begin, row.size(), row.begin());
    average_neighbours(row, 3);
  }
  standardize(scores, ranges);
}

}  // namespace kvpress
