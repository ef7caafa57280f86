// Presses one after the other on the same cache.
#include <algorithm>
#include <cmath>

#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class Composed : public Editor<Composed> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.presses("presses", presses_, Inside::any, "applied one after the other");
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

  void observe_output(const LayerOutput& output) override {
    for (const InnerPress& it : presses_) it->observe_output(output);
  }

  void visit_state(StateVisitor& /*visitor*/) override {}  // each press lists its own

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
    "applies several presses one after the other",
    "",
    "needs of the inner presses",
    make_press<Composed>,
    "Presses use different information, and some store less per token where others evict tokens. Each works on the "
    "cache that the previous one left.",
    "of k presses that evict to a budget, press i leaves n·(n_kept/n)^(i/k) entries per head, the last one n_kept",
    "To combine a press that evicts tokens with one that edits them, such as composed(snapkv, think), or a coarse with "
    "a fine selection."};

}  // namespace kvpress
