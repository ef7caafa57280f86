// The scores of SnapKV (https://arxiv.org/abs/2404.14469), which PyramidKV shares: the attention that the last
// window_size queries pay to the tokens before them, averaged over kernel_size neighbours and over the group. The
// window's own entries get a score above all others.
#pragma once

#include <cstdint>

#include "kvpress/press/parameters.h"
#include "kvpress/press/press.h"

namespace kvpress {

class SnapKVScores {
 public:
  void visit_parameters(ParameterVisitor& visitor);
  /// Wants the last window_size() queries in the layer.
  void fill(const LayerView& layer, Scores& scores);
  std::int64_t window_size() const { return window_size_; }

 private:
  std::int64_t window_size_ = 64;
  std::int64_t kernel_size_ = 5;
};

}  // namespace kvpress
