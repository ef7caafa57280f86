// SnapKV (https://arxiv.org/abs/2404.14469): the attention that the last window_size queries pay to the tokens before
// them, smoothed over neighbours; the window itself stays.
#include <algorithm>

#include "kvpress/press/entries.h"
#include "kvpress/press/key_rows.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/window.h"

namespace kvpress {
namespace {

class SnapKV : public Scorer<SnapKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("window_size", window_size_, 1, "last tokens whose attention is looked at, and which stay");
    visitor.integer("kernel_size", kernel_size_, 1, "width of the average over neighbours");
  }
  PressNeeds needs() const override { return {.recent_queries = window_size_}; }

  void score(const LayerView& layer, Scores& scores) override {
    const std::int64_t window = window_attention(layer, window_size_, scores);
    for (auto& row : scores) pool(row, static_cast<std::int64_t>(row.size()) - window);
    const float forced = above_all(scores);
    for (auto& row : scores) std::fill_n(row.end() - window, window, forced);
  }

 private:
  /// The mean over kernel_size neighbours among the first n values, zeros beyond them counted. What follows becomes 0.
  void pool(AlignedVector<float>& row, std::int64_t n) {
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

  std::int64_t window_size_ = 64;
  std::int64_t kernel_size_ = 5;
  AlignedVector<float> smoothed_;
};

}  // namespace

const PressEntry kSnapKVPress = {
    "snapkv",
    "keeps what the last window of queries attends to, smoothed over neighbours",
    "https://arxiv.org/abs/2404.14469",
    "keys, the last window_size queries",
    make_press<SnapKV>,
    "The queries at the end of a prompt show what the answer will look at. Their attention, smoothed so that "
    "neighbours of a match come along, picks the tokens of each head.",
    "s_j = mean over the last window_size queries of their softmax weight at j, averaged over kernel_size neighbours, "
    "mean over the group; the window stays",
    "For prompts that end with the question."};

}  // namespace kvpress
