// SimLayerKV (https://arxiv.org/abs/2410.13846): a layer whose last queries attend to little but the first and the most
// recent tokens is lazy, and keeps only these; every other layer keeps all. What is kept follows from the text, not
// from the run's budget.
#include <algorithm>
#include <numeric>

#include "kvpress/press/kit/window.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class SimLayerKV : public Selector<SimLayerKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.real("lazy_threshold", lazy_threshold_, 0, 1,
                 "share of the attention above which a layer is lazy; with 1 no layer is lazy, 0.65 to 0.9 are usual");
    visitor.integer("n_last", n_last_, 1, "last tokens whose attention is used");
    visitor.integer("n_recent", n_recent_, 0, "recent tokens that a lazy layer keeps, including the next n_last");
    visitor.integer("n_initial", n_initial_, 0, "first tokens that a lazy layer keeps");
  }
  PressNeeds needs() const override { return {.recent_queries = n_last_}; }
  bool follows_budget() const override { return false; }

  Kept select(const LayerView& layer) override {
    if (lazy_threshold_ == 1.0 || layer.longest() <= n_initial_ + n_recent_ + n_last_ || !is_lazy(layer)) return {};
    Kept kept;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) kept.push_back(first_and_recent(layer.head(h).size()));
    return kept;
  }

 private:
  bool is_lazy(const LayerView& layer) const {
    Scores weights(static_cast<std::size_t>(layer.n_kv_heads()));
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      weights[h].resize(static_cast<std::size_t>(layer.head(h).size()));
    }
    const std::int64_t n_queries = window_attention(layer, n_last_, weights);
    double share = 0;
    for (const auto& row : weights) {
      // The queries' own tokens do not count: neither what they get nor among the recent.
      const auto end = row.end() - n_queries;
      const auto n = static_cast<std::int64_t>(end - row.begin());
      share += std::accumulate(row.begin(), row.begin() + std::min(n, n_initial_), 0.0);
      share += std::accumulate(end - std::min(n, n_recent_), end, 0.0);
    }
    return share / static_cast<double>(layer.n_kv_heads()) > lazy_threshold_;
  }

  /// Of n entries. n_last places among the recent are left for the tokens to come, as in kvpress; one entry stays in
  /// any case.
  std::vector<std::int32_t> first_and_recent(std::int64_t n) const {
    const std::int64_t n_first = std::min(n, n_initial_);
    const std::int64_t n_recent = std::clamp<std::int64_t>(n_recent_ - n_last_, n_first == 0 ? 1 : 0, n - n_first);
    std::vector<std::int32_t> indices(static_cast<std::size_t>(n_first + n_recent));
    std::iota(indices.begin(), indices.begin() + n_first, 0);
    std::iota(indices.begin() + n_first, indices.end(), static_cast<std::int32_t>(n - n_recent));
    return indices;
  }

  double lazy_threshold_ = 1.0;
  std::int64_t n_last_ = 1;
  std::int64_t n_recent_ = 1024;
  std::int64_t n_initial_ = 4;
};

}  // namespace

const PressEntry kSimLayerKVPress = {
    "simlayerkv",
    "keeps only the first and the recent tokens in layers that attend to little else",
    "https://arxiv.org/abs/2410.13846",
    "keys, the last n_last queries",
    make_press<SimLayerKV>,
    "Some layers are lazy: they attend to the first and the most recent tokens, whatever the text. These layers drop "
    "all tokens between; the others keep all tokens.",
    "a layer is lazy if the mean over heads and the last n_last queries of their attention to the first n_initial and "
    "the n_recent tokens before them is above lazy_threshold; it then keeps n_initial + n_recent - n_last tokens",
    "With a lazy_threshold (0.9 for Llama 3, 0.65 for Llama 2, 0.8 for Mistral, 0.85 for Qwen); the compression ratio "
    "is ignored."};

}  // namespace kvpress
