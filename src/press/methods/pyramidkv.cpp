// PyramidKV (https://arxiv.org/abs/2406.02069): SnapKV's scores with a budget that falls from layer to layer. With
// n tokens, m = n (1 - ratio) of them to keep and w the window, layer l of the L that are compressed keeps
//   max - l (max - min) / (L - 1),  min = m / beta,  max = 2 m - min,
// where max is at most n - w and min then 2 m - max: all layers together keep m L, give or take the rounding.
#include <algorithm>
#include <cmath>

#include "press/entries.h"
#include "press/kit/head_budget.h"
#include "press/kit/snapkv_scores.h"

namespace kvpress {
namespace {

class PyramidKV : public Selector<PyramidKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    scores_.visit_parameters(visitor);
    visitor.integer("beta", beta_, 1, "steepness of the pyramid: the last layer gets 1 / beta of the mean");
  }
  PressNeeds needs() const override { return {.recent_queries = scores_.window_size()}; }

  void score(const LayerView& layer, Scores& scores) override { scores_.fill(layer, scores); }

  Kept select(const LayerView& layer) override {
    const std::int64_t n_kept = layer_budget(layer);
    if (layer.longest() <= n_kept) return {};
    return best_of_each_head(scores_of(*this, layer), n_kept);
  }

 private:
  /// In doubles, and rounded half to even, as kvpress 0.5.5 does; where the pyramid would not leave every layer its
  /// window, all layers get the same. So does a layer that no other shares with, of which kvpress makes the lowest.
  std::int64_t layer_budget(const LayerView& layer) const {
    const auto n = static_cast<double>(tokens_in_sight(layer));
    const auto window = static_cast<double>(scores_.window_size());
    const double capacity = window + n * (1.0 - layer.budget.ratio);
    double least = (capacity - window) / static_cast<double>(beta_);
    double most = (capacity - window) * 2.0 - least;
    if (most >= n - window) {
      most = n - window;
      least = (capacity - window) * 2.0 - most;
    }
    const std::int64_t n_layers = layer.n_pressed_layers();
    if (n_layers == 1 || !(n >= most && most >= least && least >= window)) {
      return std::max<std::int64_t>(1, std::llrint(n * (1.0 - layer.budget.ratio)));
    }
    const double step = (most - least) / static_cast<double>(n_layers - 1);
    return std::llrint(most - static_cast<double>(layer.rank_of_layer()) * step);
  }

  SnapKVScores scores_;
  std::int64_t beta_ = 20;
};

}  // namespace

const PressEntry kPyramidKVPress = {
    "pyramidkv",
    "snapkv with more tokens in the lower layers and fewer in the upper layers",
    "https://arxiv.org/abs/2406.02069",
    "keys, the last window_size queries",
    make_press<PyramidKV>,
    "In lower layers attention is spread over the whole text; in upper layers it is concentrated on a few tokens. The "
    "budget of all layers is divided like a pyramid.",
    "s_j as snapkv; layer l of L keeps max - l·(max - min)/(L - 1) with min = n(1 - ratio)/beta, max + min = 2n(1 - "
    "ratio), max ≤ n - window_size; the same in every layer where min would be below window_size",
    "Like snapkv, at moderate ratios; at high ratios it equals snapkv."};

}  // namespace kvpress
