// A press around another one: class AdaKV : public Wrapper<Selector<AdaKV>>. What the press inside needs, reads, sees
// and promises is passed on; a press that changes one of them overrides it.
#pragma once

#include <utility>

#include "kvpress/press/parameters.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// `Base` is what the press would derive from without the one inside. The press inside is a parameter like others:
/// visit_parameters() names it as `press_`.
template <typename Base>
class Wrapper : public Base {
 public:
  Wrapper() = default;
  /// With a press inside that need not be written.
  explicit Wrapper(InnerPress by_default) : press_(std::move(by_default)) {}

  PressNeeds needs() const override { return press_->needs(); }
  bool follows_budget() const override { return press_->follows_budget(); }
  void prepare(const PressSetup& setup) override { press_->prepare(setup); }
  void observe(const LayerView& layer) override { press_->observe(layer); }
  void observe_output(const LayerOutput& output) override { press_->observe_output(output); }

 protected:
  InnerPress press_;
};

}  // namespace kvpress
