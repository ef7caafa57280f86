// Observed attention (the score of H2O, https://arxiv.org/abs/2306.14048): the attention a token got from every query
// that saw it, averaged. s_j = (sum over queries of A[:, j]) / (n - j), averaged over the group.
#include "press/entries.h"

namespace kvpress {
namespace {

class ObservedAttention : public Scorer<ObservedAttention> {
 public:
  PressNeeds needs() const override { return {.accumulated_attention = true}; }

  void score(const LayerView& layer, Scores& scores) override {
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const KVHead& head = layer.head(h);
      auto& row = scores[h];
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[j] = layer.accumulated_attention(h)[j] / static_cast<float>(layer.budget.n_seen - head.positions()[j]);
      }
    }
  }
};

}  // namespace

const PressEntry kObservedAttentionPress = {
    "observed_attention",
    "keeps the tokens that received the most attention from the queries that saw them",
    "https://arxiv.org/abs/2306.14048",
    "accumulated attention of each token",
    make_press<ObservedAttention>,
    "Tokens that received attention so far will receive it again (heavy hitters). The attention of each token is "
    "averaged over the queries that saw it.",
    "s_j = (sum over queries i ≥ j of A_ij) / (n - j), mean over the group",
    "As a reference: all queries so far count, not those of a window."};

}  // namespace kvpress
