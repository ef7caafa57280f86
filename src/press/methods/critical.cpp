// CriticalKV (https://arxiv.org/abs/2502.03805): part of the budget goes to the best scores; what else stays is chosen
// by score times ||Wo v||_1, what the value adds to the layer's output.
#include <algorithm>

#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/critical_output.h"

namespace kvpress {
namespace {

class Critical : public Wrapper<Scorer<Critical>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.real("epsilon", epsilon_, 0.0, "added to the score before multiplying by the norm");
    visitor.real("first_stage_ratio", first_stage_ratio_, 0, 1, "share of the budget for the best scores");
  }

  void score(const LayerView& layer, Scores& scores) override {
    press_->score(layer, scores);
    auto n_first = static_cast<std::int64_t>(static_cast<double>(layer.budget.n_kept) * first_stage_ratio_);
    if (first_stage_ratio_ > 0) n_first = std::max<std::int64_t>(1, n_first);
    const Scores norms = output_norms(layer);
    for (std::size_t h = 0; h < scores.size(); ++h) weigh_by_output(n_first, epsilon_, norms[h], scores[h]);
  }

 private:
  double epsilon_ = 1e-4;
  double first_stage_ratio_ = 0.5;
};

}  // namespace

const PressEntry kCriticalPress = {
    "critical",
    "weights the scores of the inner press by the contribution of each value to the layer's output",
    "https://arxiv.org/abs/2502.03805",
    "values, output weights, needs of the inner press",
    make_press<Critical>,
    "The loss from evicting a token is its weight times its value, projected by the output weights. Half of the budget "
    "goes to the highest scores, the rest to the highest products of score and norm of the projected value.",
    "the ⌊n_kept × first_stage_ratio⌋ best s_j are kept, then the best (s_j + epsilon) × mean over the group of ‖Wo "
    "v_j‖₁",
    "Around a press that estimates attention weights (snapkv, expected_attention(use_vnorm=false)), if a second "
    "product of the size of the output product is affordable."};

}  // namespace kvpress
