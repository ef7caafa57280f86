#include "press/kit/query_statistics.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/ops/product/linear.h"
#include "kvpress/press/press_state.h"

namespace kvpress {

void QueryStatistics::visit_state(StateVisitor& visitor) {
  const std::int64_t d = visitor.config().head_dim;
  visitor.integer(count_, 0, visitor.n_tokens());
  visitor.numbers(means_, visitor.config().n_heads * d);
  visitor.numbers(scatters_, visitor.config().n_heads * d * d);
  if (means_.empty() != scatters_.empty()) fail("the state of its press does not fit the model");
  head_dim_ = means_.empty() ? 0 : d;
}

void QueryStatistics::add(const AttentionBlock& block, std::int64_t n_sink, bool with_covariance) {
  const std::int64_t d = block.config.head_dim;
  const std::int64_t n_heads = block.config.n_heads;
  if (means_.empty()) {
    head_dim_ = d;
    means_.resize(static_cast<std::size_t>(n_heads * d), 0.0f);
    scatters_.resize(static_cast<std::size_t>(n_heads * d * d), 0.0f);
  }
  const std::int64_t skipped = std::clamp<std::int64_t>(n_sink - block.first_position, 0, block.n_new);
  const std::int64_t n = block.n_new - skipped;
  if (n == 0) return;
  const auto queries = block.queries_before_rope.block(skipped, n);
  const auto n_old = static_cast<float>(count_);
  const auto n_block = static_cast<float>(n);

  parallel_for(n_heads, [&](std::int64_t h) {
    const auto head = queries.columns(h * d, d);
    std::vector<double> sum(static_cast<std::size_t>(d), 0.0);
    for (std::int64_t t = 0; t < n; ++t) {
      for (std::int64_t c = 0; c < d; ++c) sum[c] += head.row(t)[c];
    }
    std::vector<float> mean(static_cast<std::size_t>(d));
    for (std::size_t c = 0; c < mean.size(); ++c) mean[c] = static_cast<float>(sum[c] / static_cast<double>(n));

    float* old_mean = means_.data() + h * d;
    float* scatter = scatters_.data() + h * d * d;
    if (with_covariance) {
      constexpr std::int64_t kRows = 256;
      AlignedVector<float> centred(static_cast<std::size_t>(std::min(n, kRows) * d));
      for (std::int64_t first = 0; first < n; first += kRows) {
        const std::int64_t rows = std::min(kRows, n - first);
        for (std::int64_t t = 0; t < rows; ++t) {
          for (std::int64_t c = 0; c < d; ++c) {
            centred[t * d + c] = head.row(first + t)[c] - mean[c];
          }
        }
        gemm(true, false, d, d, rows, 1.0f, centred.data(), d, centred.data(), d, 1.0f, scatter, d);
      }
      const float between = n_old * n_block / (n_old + n_block);
      for (std::int64_t i = 0; i < d; ++i) {
        const float delta = mean[i] - old_mean[i];
        for (std::int64_t j = 0; j < d; ++j) {
          scatter[i * d + j] += between * delta * (mean[j] - old_mean[j]);
        }
      }
    }
    for (std::int64_t c = 0; c < d; ++c) {
      old_mean[c] += (mean[c] - old_mean[c]) * (n_block / (n_old + n_block));
    }
  });
  count_ += n;
}

std::span<const float> QueryStatistics::mean(std::int64_t head) const {
  return {means_.data() + head * head_dim_, static_cast<std::size_t>(head_dim_)};
}

std::vector<float> QueryStatistics::covariance(std::int64_t head) const {
  const auto size = static_cast<std::size_t>(head_dim_ * head_dim_);
  std::vector<float> result(size, 0.0f);
  if (count_ == 0) return result;
  const float* scatter = scatters_.data() + static_cast<std::size_t>(head) * size;
  for (std::size_t i = 0; i < size; ++i) result[i] = scatter[i] / static_cast<float>(count_);
  return result;
}

void scale_turned(std::int64_t rotary_dim, float factor, std::span<float> mean) {
  if (factor == 1.0f) return;
  for (std::int64_t c = 0; c < rotary_dim; ++c) mean[c] *= factor;
}

void scale_turned_both(std::int64_t rotary_dim, float factor, std::int64_t head_dim, std::span<float> covariance) {
  if (factor == 1.0f) return;
  for (std::int64_t i = 0; i < head_dim; ++i) {
    for (std::int64_t j = 0; j < head_dim; ++j) {
      float& value = covariance[i * head_dim + j];
      if (i < rotary_dim) value *= factor;
      if (j < rotary_dim) value *= factor;
    }
  }
}

AverageRotation::AverageRotation(const std::vector<float>& inverse_frequencies, std::int64_t first, std::int64_t n) {
  for (const float frequency : inverse_frequencies) {
    double cos_sum = 0;
    double sin_sum = 0;
    for (std::int64_t p = first; p < first + n; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      cos_sum += std::cos(angle);
      sin_sum += std::sin(angle);
    }
    cos_.push_back(static_cast<float>(cos_sum / static_cast<double>(n)));
    sin_.push_back(static_cast<float>(sin_sum / static_cast<double>(n)));
  }
}

/// Turns the channels of a vector whose neighbours are `stride` apart; those past the rotary ones stay.
void AverageRotation::apply(float* vector, std::int64_t stride) const {
  const auto half = static_cast<std::int64_t>(cos_.size());
  for (std::int64_t i = 0; i < half; ++i) {
    const auto at = static_cast<std::size_t>(i);
    float& x = vector[i * stride];
    float& y = vector[(i + half) * stride];
    const float turned = x * cos_[at] - y * sin_[at];
    y = y * cos_[at] + x * sin_[at];
    x = turned;
  }
}

std::vector<float> AverageRotation::mean(std::span<const float> mean) const {
  std::vector<float> result(mean.begin(), mean.end());
  apply(result.data(), 1);
  return result;
}

std::vector<float> AverageRotation::covariance(std::vector<float> covariance, std::int64_t head_dim) const {
  for (std::int64_t i = 0; i < head_dim; ++i) apply(covariance.data() + i * head_dim, 1);  // Sigma R'
  for (std::int64_t j = 0; j < head_dim; ++j) apply(covariance.data() + j, head_dim);      // R (Sigma R')
  return covariance;
}

std::vector<AverageRotation> rotations_ahead(const LayerView& layer, std::int64_t n) {
  std::vector<AverageRotation> rotations;
  for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
    const std::int64_t next = layer.next_position(h);
    if (h > 0 && next == layer.next_position(h - 1)) {
      rotations.push_back(rotations.back());
    } else {
      rotations.emplace_back(layer.block.rope.inverse_frequencies(), next, n);
    }
  }
  return rotations;
}

}  // namespace kvpress
