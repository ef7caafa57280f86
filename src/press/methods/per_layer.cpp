// A compression ratio of its own for every layer.
#include "kvpress/base/error.h"
#include "kvpress/press/budget.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class PerLayer : public Wrapper<Editor<PerLayer>> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::any, "compresses each layer");
    visitor.reals("compression_ratios", ratios_, 0, kMaxRatio, "one per layer; a layer with 0 is not compressed");
  }
  bool follows_budget() const override { return false; }

  void prepare(const PressSetup& setup) override {
    if (static_cast<std::int64_t>(ratios_.size()) != setup.config.n_layers) {
      fail_usage(
          "press per_layer: {} ratios for a model of {} layers; write compression_ratios=[...] with one per layer",
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
    "gives every layer its own compression ratio",
    "",
    "needs of the inner press",
    make_press<PerLayer>,
    "Layers need different numbers of tokens. If these are known for a model, they can be set layer by layer.",
    "layer l keeps int(n(1 - compression_ratios[l])) entries of each head, selected by the inner press; the run's "
    "compression ratio is ignored",
    "If each layer's ratio has been measured for the model; one number per layer is required."};

}  // namespace kvpress
