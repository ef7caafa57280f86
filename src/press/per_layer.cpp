// A compression ratio of its own for every layer.
#include "kvpress/base/error.h"
#include "kvpress/press/budget.h"
#include "kvpress/press/entries.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/wrapper.h"

namespace kvpress {
namespace {

class PerLayer : public Wrapper<Editor<PerLayer>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::any, "compresses each layer");
    visitor.reals("compression_ratios", ratios_, 0, kMaxRatio, "one for each layer; a layer with 0 is left alone");
  }
  bool follows_budget() const override { return false; }

  void prepare(const PressSetup& setup) override {
    if (static_cast<std::int64_t>(ratios_.size()) != setup.config.n_layers) {
      fail_usage("press per_layer: {} ratios for a model of {} layers; write compression_ratios=[...], one for each",
                 ratios_.size(), setup.config.n_layers);
    }
    press_->prepare(setup);
  }

  void compress(const LayerView& layer) override {
    const Budget budget{ratios_.at(static_cast<std::size_t>(layer.block.layer)), {}};
    if (budget.keeps_all()) return;
    LayerView view = layer;
    view.budget.ratio = budget.ratio;
    view.budget.n_kept = budget.n_kept(view.budget.n_seen);
    press_->compress(view);
  }

 private:
  static constexpr double kMaxRatio = 0.9999;

  std::vector<double> ratios_;
};

}  // namespace

const PressEntry kPerLayerPress = {
    "per_layer",
    "gives every layer a compression ratio of its own",
    "",
    "what the press inside needs",
    make_press<PerLayer>,
    "Layers differ in how many tokens they need. Where that is known for a model, it can be said layer by layer.",
    "layer l keeps int(n(1 - compression_ratios[l])) entries of each head, chosen by the press inside; the run's ratio "
    "has no say",
    "When each layer's ratio has been measured for the model; one number for each layer must be given."};

}  // namespace kvpress
