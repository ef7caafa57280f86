#include "press/kit/critical_output.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kvpress/base/threads.h"
#include "kvpress/model/weights.h"
#include "kvpress/ops/product/linear.h"
#include "ops/rowwise.h"
#include "ops/topk.h"

namespace kvpress {
namespace {

/// Floats of a product that are held at a time: they stay in the second-level cache.
constexpr std::int64_t kProductElements = std::int64_t{1} << 18;
constexpr std::int64_t kMaxRows = 512;

float sum_of_absolutes(const float* x, std::int64_t n) {
  float sums[16] = {};  // side by side, as in dot()
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (std::int64_t lane = 0; lane < 16; ++lane) sums[lane] += std::abs(x[i + lane]);
  }
  float sum = 0;
  for (; i < n; ++i) sum += std::abs(x[i]);
  for (const float lane : sums) sum += lane;
  return sum;
}

}  // namespace

Scores output_norms(const LayerView& layer) {
  const ModelConfig& config = layer.block.config;
  const std::int64_t d = config.head_dim;
  const std::int64_t group = config.n_heads / config.n_kv_heads;
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t cols = config.n_heads * d;
  const DType type = layer.block.hidden.type;

  AlignedVector<float> weights(static_cast<std::size_t>(hidden * cols));
  layer.block.weights.attention_out_rows(0, hidden, weights.data());

  // A fixed number of rows at a time, the last ones padded: oneDNN makes a kernel for each number it meets.
  const std::int64_t width = group * hidden;
  const std::int64_t step = std::clamp<std::int64_t>(kProductElements / width, 16, kMaxRows);
  AlignedVector<float> product(static_cast<std::size_t>(step * width));
  AlignedVector<float> plain(static_cast<std::size_t>(step * d));
  ActivationBuffer buffer;
  const Activations values = buffer.get(type, step, d);

  Scores norms(static_cast<std::size_t>(config.n_kv_heads));
  for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
    const KVHead& head = layer.head(h);
    auto& row = norms[h];
    row.resize(static_cast<std::size_t>(head.size()));
    // Of all query heads of the group, one below the other: [group * hidden, head_dim].
    const auto stacked = [&](std::int64_t first, std::int64_t n, float* out) {
      for (std::int64_t i = first; i < first + n; ++i, out += d) {
        std::copy_n(weights.data() + i % hidden * cols + (h * group + i / hidden) * d, d, out);
      }
    };
    const Linear output(width, d, stacked, {}, type);
    for (std::int64_t first = 0; first < head.size(); first += step) {
      const std::int64_t n = std::min(step, head.size() - first);
      head.values_as_float(first, n, plain.data());
      std::fill(plain.begin() + n * d, plain.end(), 0.0f);
      from_float(plain.data(), values.data, type, step * d);
      output(values, {product.data(), DType::f32, step, width});
      parallel_for(n, [&](std::int64_t j) {
        row[first + j] = sum_of_absolutes(product.data() + j * width, width) / static_cast<float>(group);
      });
    }
  }
  return norms;
}

void weigh_by_output(std::int64_t n_first, double epsilon, const AlignedVector<float>& norms,
                     AlignedVector<float>& scores) {
  const auto settled = top_k(scores, n_first);
  for (std::size_t j = 0; j < scores.size(); ++j) scores[j] = (scores[j] + static_cast<float>(epsilon)) * norms[j];
  for (const std::int32_t j : settled) scores[j] = std::numeric_limits<float>::max();
}

}  // namespace kvpress
