// Knorm (https://arxiv.org/abs/2406.11430): keys of a small norm draw the most attention. s_j = -||k_j||.
#include <cmath>

#include "kvpress/base/threads.h"
#include "kvpress/press/entries.h"
#include "kvpress/press/key_rows.h"

namespace kvpress {
namespace {

class Knorm : public Scorer<Knorm> {
 public:
  void score(const LayerView& layer, Scores& scores) override {
    for_each_key(layer, [&](std::int64_t h, std::int64_t j, std::span<const float> key) {
      scores[static_cast<std::size_t>(h)][static_cast<std::size_t>(j)] = -std::sqrt(dot(key, key));
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
    "Keys of a small norm draw the most attention in many layers of Llama-like models. So the norm alone, without any "
    "query, tells what to keep.",
    "s_j = -‖k_j‖",
    "When nothing but speed counts; check the model first, since some have no such link between norm and attention."};

}  // namespace kvpress
