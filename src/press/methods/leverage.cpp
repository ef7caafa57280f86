// Leverage scores (one part of Compactor, https://arxiv.org/abs/2507.08143): keys that no combination of the others
// replaces stay.
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/leverage_scores.h"

namespace kvpress {
namespace {

class Leverage : public Scorer<Leverage> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("sketch_dimension", sketch_dimension_, 1, "random channels that keys are projected to");
  }

  void score(const LayerView& layer, Scores& scores) override {
    leverage_.fill(layer, sketch_dimension_, all_entries(layer), scores);
  }

 private:
  std::int64_t sketch_dimension_ = 48;
  LeverageScores leverage_;
};

}  // namespace

const PressEntry kLeveragePress = {
    "leverage",
    "keeps the tokens whose keys differ from the others",
    "https://arxiv.org/abs/2507.08143",
    "keys before RoPE",
    make_press<Leverage>,
    "The leverage of a row measures how far it lies outside the span of the other rows. Keys with high leverage cannot "
    "be replaced by others. A random sketch makes the computation cheap.",
    "x_j = Φᵀ(k_j - mean), k before RoPE, Φ of sketch_dimension normal columns; s_j = x_jᵀ(XᵀX + 0.01 I)⁻¹x_j, "
    "standardized over the layer",
    "When later questions are unknown. It is cheap; compactor combines it with attention."};

}  // namespace kvpress
