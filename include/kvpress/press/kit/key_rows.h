// Loops over the keys or values of a layer as float32, on all threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/press/press.h"

namespace kvpress {

inline float dot(std::span<const float> a, std::span<const float> b) {
  // Eight sums side by side: the compiler may not reorder one sum, but it can keep eight in a vector.
  float sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (; i < a.size(); ++i) sum += a[i] * b[i];
  for (const float lane : sums) sum += lane;
  return sum;
}

/// Calls body(h, first, n, rows) for pieces of the keys or values of each head: `rows` is [n, head_dim] and holds the
/// entries [first, first + n). Calls run in parallel.
enum class Rows : std::uint8_t { keys, values };
template <typename Body>
void for_each_stretch(const LayerView& layer, Rows which, Body&& body) {
  constexpr std::int64_t kStretch = 512;
  const std::int64_t d = layer.block.config.head_dim;
  std::int64_t longest = 0;
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) longest = std::max(longest, layer.head(h).size());
  const std::int64_t per_head = (longest + kStretch - 1) / kStretch;
  parallel_for(layer.n_kv_heads() * per_head, [&](std::int64_t item) {
    const std::int64_t h = item / per_head;
    const std::int64_t first = item % per_head * kStretch;
    const KVHead& head = layer.head(h);
    const std::int64_t n = std::min(kStretch, head.size() - first);
    if (n <= 0) return;
    AlignedVector<float> rows(static_cast<std::size_t>(n * d));
    if (which == Rows::keys) {
      head.keys_as_float(first, n, rows.data());
    } else {
      head.values_as_float(first, n, rows.data());
    }
    body(h, first, n, rows.data());
  });
}

/// Calls body(h, j, key) for entry j of each head; `key` is [head_dim]. Calls run in parallel.
template <typename Body>
void for_each_key(const LayerView& layer, Body&& body) {
  const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
  for_each_stretch(layer, Rows::keys, [&](std::int64_t h, std::int64_t first, std::int64_t n, const float* rows) {
    for (std::int64_t j = 0; j < n; ++j) body(h, first + j, std::span(rows + static_cast<std::size_t>(j) * d, d));
  });
}

/// The number of entries of a head with positions below `position`. They are its first entries.
inline std::int64_t n_before(const KVHead& head, std::int64_t position) {
  const auto positions = head.positions();
  return std::lower_bound(positions.begin(), positions.end(), position) - positions.begin();
}

/// A score above all scores of the layer: an entry with it is kept as long as the budget allows.
inline float above_all(const Scores& scores) {
  float max = 0;
  bool any = false;
  for (const auto& row : scores) {
    for (const float value : row) {
      max = any ? std::max(max, value) : value;
      any = true;
    }
  }
  return max + 1;
}

}  // namespace kvpress
