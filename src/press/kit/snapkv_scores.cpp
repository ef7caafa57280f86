#include "press/kit/snapkv_scores.h"

#include <algorithm>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/row_scores.h"
#include "kvpress/press/kit/window.h"

namespace kvpress {

void SnapKVScores::visit_parameters(ParameterVisitor& visitor) {
  visitor.integer("window_size", window_size_, 1, "last tokens whose attention is used; they are kept");
  visitor.integer("kernel_size", kernel_size_, 1, "width of the average over neighbours");
}

void SnapKVScores::fill(const LayerView& layer, Scores& scores) {
  const std::int64_t window = window_attention(layer, window_size_, scores);
  for (auto& row : scores) {
    std::fill(row.end() - window, row.end(), 0.0f);
    average_neighbours(std::span(row).first(row.size() - static_cast<std::size_t>(window)), kernel_size_);
  }
  const float forced = above_all(scores);
  for (auto& row : scores) std::fill_n(row.end() - window, window, forced);
}

}  // namespace kvpress
