// Base class of presses with an inner press: class AdaKV : public Wrapper<Selector<AdaKV>>. Forwards needs(),
// follows_budget(), prepare() and observe() to the inner press. A wrapper with a state of its own overrides
// visit_state().
#pragma once

#include <utility>

#include "kvpress/press/parameters.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// `Base` is Scorer, Selector, Editor or ContextPress of the derived class. visit_parameters() must list `press_`.
template <typename Base>
class Wrapper : public Base {
 public:
  Wrapper() = default;
  /// With a default for the inner press.
  explicit Wrapper(InnerPress by_default) : press_(std::move(by_default)) {}

  PressNeeds needs() const override { return press_->needs(); }
  bool follows_budget() const override { return press_->follows_budget(); }
  void prepare(const PressSetup& setup) override { press_->prepare(setup); }
  void observe(const LayerView& layer) override { press_->observe(layer); }
  void observe_output(const LayerOutput& output) override { press_->observe_output(output); }
  void visit_state(StateVisitor& /*visitor*/) override {}  // that of the inner press is visited by itself

 protected:
  InnerPress press_;
};

}  // namespace kvpress
