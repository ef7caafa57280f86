// Random: every token is worth the same; the floor that a method has to beat.
#include <random>

#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Random : public Scorer<Random> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.optional_integer("seed", seed_, 0,
                             "the scores of torch.rand, the same in every layer and call; none: different scores");
  }

  void score(const LayerView& layer, Scores& scores) override {
    // torch's generator for float32 on a CPU: the low 24 bits of each Mersenne Twister output.
    const auto own =
        static_cast<std::uint32_t>(layer.budget.seed * 7919 + static_cast<std::uint64_t>(layer.block.layer) * 104729 +
                                   static_cast<std::uint64_t>(layer.budget.n_seen));
    std::mt19937 generator(seed_ ? static_cast<std::uint32_t>(*seed_) : own);
    for (auto& row : scores) {
      for (float& value : row) value = static_cast<float>(generator() & 0xffffffu) / static_cast<float>(1 << 24);
    }
  }

 private:
  std::optional<std::int64_t> seed_;
};

}  // namespace

const PressEntry kRandomPress = {"random",
                                 "keeps random tokens: the baseline for every method",
                                 "",
                                 "nothing",
                                 make_press<Random>,
                                 "All tokens are equal. Random eviction is the baseline: a method that is not better "
                                 "has learned nothing about the text.",
                                 "s_j uniform in [0, 1)",
                                 "As a baseline."};

}  // namespace kvpress
