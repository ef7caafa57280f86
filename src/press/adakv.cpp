// AdaKV (https://arxiv.org/abs/2407.11550): the heads of a layer share one budget, and the best entries of all of them
// stay, whichever head they belong to. Each head is sure of a share of its even part.
#include "kvpress/press/entries.h"
#include "kvpress/press/head_budget.h"
#include "kvpress/press/parameters.h"

namespace kvpress {
namespace {

class AdaKV : public Selector<AdaKV> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::scores, "scores the entries");
    visitor.real("alpha_safeguard", alpha_safeguard_, 0, 1, "share of its even part of which each head is sure");
  }
  PressNeeds needs() const override { return press_->needs(); }
  void prepare(const PressSetup& setup) override { press_->prepare(setup); }
  void observe(const LayerView& layer) override { press_->observe(layer); }

  Kept select(const LayerView& layer) override {
    if (layer.total_size() <= layer.n_kv_heads() * layer.budget.n_kept) return {};
    const Scores scores = scores_of(*press_, layer);
    return best_of_each_head(scores, shared_budget(scores, layer.budget.n_kept, alpha_safeguard_));
  }

 private:
  InnerPress press_;
  double alpha_safeguard_ = 0.2;
};

}  // namespace

const PressEntry kAdaKVPress = {"adakv", "shares the budget of a layer among its heads, by the scores of the press inside",
                                "https://arxiv.org/abs/2407.11550", "what the press inside needs", make_press<AdaKV>};

}  // namespace kvpress
