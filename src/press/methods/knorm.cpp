// Knorm (https://arxiv.org/abs/2406.11430): keys of a small norm draw the most attention. s_j = -||k_j||.
#include <cmath>

#include "kvpress/base/threads.h"
#include "kvpress/press/kit/key_rows.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Knorm : public Scorer<Knorm> {
 public:
  void score(const LayerView& layer, Scores& scores) override {
    for_each_key(layer, [&](std::int64_t h, std::int64_t j, std::span<const float> key) {
      scores[h][j] = -std::sqrt(dot(key, key));
    });
  }
};

}  // namespace

const PressEntry kKnormPress = {
    "knorm",
    "keeps the tokens whose keys have the smallest norms",
    "https://arxiv.org/abs/2406.11430",
    "keys",
    make_press<Knorm>,
    "In many layers of Llama-like models, keys with small norms receive the most attention. The norm alone, without "
    "any query, predicts what to keep.",
    "s_j = -‖k_j‖",
    "When only speed matters. Check the model first: some models show no such relation between norm and attention."};

}  // namespace kvpress
