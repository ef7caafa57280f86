#include "kvpress/press/snapkv_scores.h"

#include <algorithm>

#include "kvpress/press/key_rows.h"
#include "kvpress/press/window.h"

namespace kvpress {

void SnapKVScores::visit_parameters(ParameterVisitor& visitor) {
  visitor.integer("window_size", window_size_, 1, "last tokens whose attention is looked at, and which stay");
  visitor.integer("kernel_size", kernel_size_, 1, "width of the average over neighbours");
}

void SnapKVScores::fill(const LayerView& layer, Scores& scores) {
  const std::int64_t window = window_attention(layer, window_size_, scores);
  for (auto& row : scores) pool(row, static_cast<std::int64_t>(row.size()) - window);
  const float forced = above_all(scores);
  for (auto& row : scores) std::fill_n(row.end() - window, window, forced);
}

/// The mean over kernel_size neighbours among the first n values, zeros beyond them counted. What follows becomes 0.
void SnapKVScores::pool(AlignedVector<float>& row, std::int64_t n) {
  std::fill(row.begin() + n, row.end(), 0.0f);
  const std::int64_t reach = kernel_size_ / 2;
  smoothed_.resize(static_cast<std::size_t>(n));
  for (std::int64_t j = 0; j < n; ++j) {
    float sum = 0;
    const std::int64_t end = std::min(n, j - reach + kernel_size_);
    for (std::int64_t i = std::max<std::int64_t>(0, j - reach); i < end; ++i) sum += row[static_cast<std::size_t>(i)];
    smoothed_[static_cast<std::size_t>(j)] = sum / static_cast<float>(kernel_size_);
  }
  std::copy(smoothed_.begin(), smoothed_.end(), row.begin());
}

}  // namespace kvpress
