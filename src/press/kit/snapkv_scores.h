// The scores of SnapKV (https://arxiv.org/abs/2404.14469), also used by PyramidKV: the attention of the last
// window_size queries to earlier tokens, averaged over kernel_size neighbours and over the group. The entries of the
// window get a score above all others.
#pragma once

#include <cstdint>

#include "kvpress/press/parameters.h"
#include "kvpress/press/press.h"

namespace kvpress {

class SnapKVScores {
 public:
  void visit_parameters(ParameterVisitor& visitor);
  /// Fills the scores. The press must request window_size() recent queries.
  void fill(const LayerView& layer, Scores& scores);
  std::int64_t window_size() const { return window_size_; }

 private:
  std::int64_t window_size_ = 64;
  std::int64_t kernel_size_ = 5;
};

}  // namespace kvpress
