// TOVA (https://arxiv.org/abs/2401.06104): what the last token attends to, averaged over all heads, so that every head
// keeps the same tokens; the last token itself stays.
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/window.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Tova : public Scorer<Tova> {
 public:
  PressNeeds needs() const override { return {.recent_queries = 1}; }

  void score(const LayerView& layer, Scores& scores) override {
    window_attention(layer, 1, scores);
    average_heads(scores);
    for (auto& row : scores) row.back() = 0;
    const float forced = above_all(scores);
    for (auto& row : scores) row.back() = forced;
  }

 private:
  /// Heads that hold different tokens (another press ran before) have no common average: they keep their own.
  static void average_heads(Scores& scores) {
    for (const auto& row : scores) {
      if (row.size() != scores.front().size()) return;
    }
    for (std::size_t j = 0; j < scores.front().size(); ++j) {
      float sum = 0;
      for (const auto& row : scores) sum += row[j];
      for (auto& row : scores) row[j] = sum / static_cast<float>(scores.size());
    }
  }
};

}  // namespace

const PressEntry kTovaPress = {
    "tova",
    "keeps the tokens that the last token attends to, the same in all heads",
    "https://arxiv.org/abs/2401.06104",
    "keys, the last query",
    make_press<Tova>,
    "The tokens that the newest token attends to are those that the next tokens will need. All heads keep the same "
    "tokens.",
    "s_j = softmax weight of the last query at j, mean over all heads; the last token is kept",
    "During decode, token by token."};

}  // namespace kvpress
