// CriticalKV (https://arxiv.org/abs/2502.03805) with AdaKV's budget for each head (https://arxiv.org/abs/2407.11550):
// the scores say how many entries a head keeps, and CriticalKV's two stages which.
#include <algorithm>

#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/critical_output.h"
#include "press/kit/head_budget.h"

namespace kvpress {
namespace {

class CriticalAdaKV : public Wrapper<Selector<CriticalAdaKV>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.real("alpha_safeguard", alpha_safeguard_, 0, 1,
                 "guaranteed minimum of each head, as a share of an equal split");
    visitor.real("epsilon", epsilon_, 0.0, "added to the score before multiplying by the norm");
    visitor.real("first_stage_ratio", first_stage_ratio_, 0, 1, "share of a head's budget for its best scores");
  }

  Kept select(const LayerView& layer) override {
    if (layer.total_size() <= layer.n_kv_heads() * layer.budget.n_kept) return {};
    Scores scores = scores_of(*press_, layer);
    const auto counts = shared_budget(scores, layer.budget.n_kept, alpha_safeguard_);
    const std::int64_t n_safe = safe_entries(layer.budget.n_kept, alpha_safeguard_);
    const Scores norms = output_norms(layer);
    for (std::size_t h = 0; h < scores.size(); ++h) {
      const auto n_first = static_cast<std::int64_t>(static_cast<double>(counts[h]) * first_stage_ratio_);
      weigh_by_output(std::max(n_safe, n_first), epsilon_, norms[h], scores[h]);
    }
    return best_of_each_head(scores, counts);
  }

 private:
  double alpha_safeguard_ = 0.2;
  double epsilon_ = 1e-4;
  double first_stage_ratio_ = 0.5;
};

}  // namespace

const PressEntry kCriticalAdaKVPress = {
    "critical_adakv",
    "divides the budget among the heads as adakv does, and selects within each head as critical does",
    "https://arxiv.org/abs/2502.03805",
    "values, output weights, needs of the inner press",
    make_press<CriticalAdaKV>,
    "The scores show which heads need many tokens; the values help to select these tokens. Each head gets its part of "
    "the budget of the layer as in adakv, and selects its tokens as in critical.",
    "per head as many as with adakv: first the best s_j (alpha_safeguard × n_kept and first_stage_ratio of its part), "
    "then the best (s_j + epsilon) × mean over the group of ‖Wo v_j‖₁",
    "As critical, if heads may have different lengths."};

}  // namespace kvpress
