// Presses one after the other on the same cache.
#include <algorithm>
#include <cmath>

#include "kvpress/press/entries.h"
#include "kvpress/press/parameters.h"

namespace kvpress {
namespace {

class Composed : public Editor<Composed> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.presses("presses", presses_, Inside::any, "compress the cache, one after the other");
  }
  PressNeeds needs() const override {
    PressNeeds all;
    for (const InnerPress& it : presses_) all = all + it->needs();
    return all;
  }
  bool follows_budget() const override {
    return std::any_of(presses_.begin(), presses_.end(), [](const InnerPress& it) { return it->follows_budget(); });
  }
  void prepare(const PressSetup& setup) override {
    for (const InnerPress& it : presses_) it->prepare(setup);
  }

  void observe(const LayerView& layer) override {
    for_each_press(layer, [](Press& press, const LayerView& view) { press.observe(view); });
  }

  /// The run's budget is what is left in the end. Each press takes an equal share of the way there: of k that are still
  /// to come, the next one leaves held * (n_kept / held)^(1 / k), the last one n_kept.
  void compress(const LayerView& layer) override {
    auto n_left =
        std::count_if(presses_.begin(), presses_.end(), [](const InnerPress& it) { return it->follows_budget(); });
    for_each_press(layer, [&](Press& press, LayerView& view) {
      if (press.follows_budget()) {
        if (n_left > 1) view.budget = part_of_the_way(layer, static_cast<double>(n_left));
        --n_left;
      }
      press.compress(view);
    });
  }

 private:
  /// Calls body(press, view), where each press finds its own floats beside the tokens.
  template <typename Body>
  void for_each_press(const LayerView& layer, Body&& body) {
    std::int64_t first_carried = layer.first_carried;
    for (const InnerPress& it : presses_) {
      LayerView view = layer;
      view.first_carried = first_carried;
      first_carried += it->needs().n_carried;
      body(*it, view);
    }
  }

  static BudgetView part_of_the_way(const LayerView& layer, double n_left) {
    BudgetView budget = layer.budget;
    const double held = static_cast<double>(layer.total_size()) / static_cast<double>(layer.n_kv_heads());
    const auto wanted = static_cast<double>(budget.n_kept);
    if (held <= wanted) return budget;
    budget.n_kept = std::llround(held * std::pow(wanted / held, 1 / n_left));
    budget.ratio = std::max(0.0, 1.0 - static_cast<double>(budget.n_kept) / static_cast<double>(budget.n_seen));
    return budget;
  }

  std::vector<InnerPress> presses_;
};

}  // namespace

const PressEntry kComposedPress = {
    "composed",
    "lets several presses compress the cache one after the other",
    "",
    "what the presses inside need",
    make_press<Composed>,
    "Presses look at different things, and some shorten what others thin out. Each works on what the one before it "
    "left.",
    "of k presses that evict to a budget, press i leaves n·(n_kept/n)^(i/k) entries a head, the last one n_kept",
    "To combine what evicts tokens with what edits them, composed(snapkv, think) say, or a coarse with a fine choice."};

}  // namespace kvpress
