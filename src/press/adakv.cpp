// AdaKV (https://arxiv.org/abs/2407.11550): the heads of a layer share one budget, and the best entries of all of them
// stay, whichever head they belong to. Each head is sure of a share of its even part.
#include "kvpress/press/entries.h"
#include "kvpress/press/head_budget.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/wrapper.h"

namespace kvpress {
namespace {

class AdaKV : public Wrapper<Selector<AdaKV>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.real("alpha_safeguard", alpha_safeguard_, 0, 1, "share of its even part of which each head is sure");
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
    "shares the budget of a layer among its heads, by the scores of the press inside",
    "https://arxiv.org/abs/2407.11550",
    "what the press inside needs",
    make_press<AdaKV>,
    "Some heads spread their attention widely and need many tokens, others look at a few. The heads of a layer share "
    "one budget: the best scores of all of them stay, and each head is sure of a part.",
    "the n_kept × heads best scores of the layer stay, and of each head its alpha_safeguard × n_kept best in any case",
    "Around any press that scores, whenever heads may differ in length: here it frees the memory, too."};

}  // namespace kvpress
