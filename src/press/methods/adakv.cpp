// AdaKV (https://arxiv.org/abs/2407.11550): the heads of a layer share one budget, and the best entries of all of them
// stay, whichever head they belong to. Each head is sure of a share of its even part.
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/head_budget.h"

namespace kvpress {
namespace {

class AdaKV : public Wrapper<Selector<AdaKV>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.real("alpha_safeguard", alpha_safeguard_, 0, 1,
                 "guaranteed minimum of each head, as a share of an equal split");
  }

  Kept select(const LayerView& layer) override {
    if (layer.total_size() <= layer.n_kv_heads() * layer.budget.n_kept) return {};
    const Scores scores = scores_of(*press_, layer);
    return best_of_each_head(scores, shared_budget(scores, layer.budget.n_kept, alpha_safeguard_));
  }

 private:
  double alpha_safeguard_ = 0.2;
};

}  // namespace

const PressEntry kAdaKVPress = {
    "adakv",
    "divides the budget of a layer among its heads, by the scores of the inner press",
    "https://arxiv.org/abs/2407.11550",
    "needs of the inner press",
    make_press<AdaKV>,
    "Some heads spread their attention widely and need many tokens, others attend to few. The heads of a layer share "
    "one budget: the best scores of all heads are kept, and each head is guaranteed a minimum.",
    "the n_kept × heads best scores of the layer are kept, and at least the alpha_safeguard × n_kept best of each head",
    "Around any press that scores, if heads may have different lengths; memory of evicted entries is freed."};

}  // namespace kvpress
