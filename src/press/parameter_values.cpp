#include "press/parameter_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/closest.h"
#include "kvpress/base/error.h"
#include "kvpress/press/registry.h"

namespace kvpress {
namespace {

/// Lists parameters and their values.
class Lister : public ParameterVisitor {
 public:
  using ParameterVisitor::real;
  void integer(std::string_view name, std::int64_t& value, std::int64_t, std::string_view meaning) override {
    add(name, fmt::format("{}", value), meaning);
  }
  void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t,
                        std::string_view meaning) override {
    add(name, value ? fmt::format("{}", *value) : "none", meaning);
  }
  void real(std::string_view name, double& value, double, double, std::string_view meaning) override {
    add(name, fmt::format("{}", value), meaning);
  }
  void optional_real(std::string_view name, std::optional<double>& value, double, double,
                     std::string_view meaning) override {
    add(name, value ? fmt::format("{}", *value) : "none", meaning);
  }
  void reals(std::string_view name, std::vector<double>& values, double, double, std::string_view meaning) override {
    add(name, fmt::format("[{}]", fmt::join(values, ", ")), meaning);
  }
  void flag(std::string_view name, bool& value, std::string_view meaning) override {
    add(name, value ? "true" : "false", meaning);
  }
  void choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
              std::string_view meaning) override {
    add(name, value, fmt::format("{}: {}", meaning, fmt::join(choices, ", ")));
  }
  void file(std::string_view name, std::string& value, std::string_view meaning) override {
    add(name, value.empty() ? "none" : value, meaning);
  }
  void press(std::string_view name, InnerPress& value, Inside, std::string_view meaning) override {
    add(name, value.text, meaning);
  }
  void presses(std::string_view name, std::vector<InnerPress>& values, Inside, std::string_view meaning) override {
    std::vector<std::string> texts;
    for (const InnerPress& it : values) texts.push_back(it.text);
    add(name, fmt::format("{}", fmt::join(texts, ", ")), meaning);
  }

  std::vector<ParameterValue> parameters;

 private:
  void add(std::string_view name, std::string value, std::string_view meaning) {
    parameters.push_back({std::string(name), std::move(value), std::string(meaning)});
  }
};

bool fits_inside(PressKind kind, Inside inside) {
  switch (inside) {
    case Inside::scores:
      return kind == PressKind::scores;
    case Inside::selection:
      return kind == PressKind::scores || kind == PressKind::selection;
    case Inside::any:
      return kind != PressKind::context;
    case Inside::every:
      return true;
  }
  return false;
}

std::string_view wanted(Inside inside) {
  switch (inside) {
    case Inside::scores:
      return "a press that scores";
    case Inside::selection:
      return "a press that scores or selects";
    case Inside::any:
      return "a press that works layer by layer";
    case Inside::every:
      return "a press";
  }
  return "?";
}

std::string names_that_fit(Inside inside) {
  std::vector<std::string_view> names;
  for (const PressEntry* entry : press_entries()) {
    if (fits_inside(entry->make()->kind(), inside)) names.push_back(entry->name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// Sets the one parameter that is called `name`; without a name, the first that takes a press.
class Setter : public ParameterVisitor {
 public:
  using ParameterVisitor::real;
  /// `filled`: the press parameters that earlier arguments have set.
  Setter(const PressSpec& spec, const PressArgument& argument, const MakeInner& make_inner,
         std::set<std::string>& filled)
      : press_(spec.name), name_(argument.name), value_(argument.value), make_inner_(make_inner), filled_(filled) {}

  void integer(std::string_view name, std::int64_t& value, std::int64_t min, std::string_view) override {
    if (is(name)) value = number<std::int64_t>(value_, min, kNoLimit, "a whole number");
  }
  void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t min,
                        std::string_view) override {
    if (!is(name)) return;
    value.reset();
    if (!is_none()) value = number<std::int64_t>(value_, min, kNoLimit, "a whole number or none");
  }
  void real(std::string_view name, double& value, double min, double max, std::string_view) override {
    if (is(name)) value = number<double>(value_, min, max, "a number");
  }
  void optional_real(std::string_view name, std::optional<double>& value, double min, double max,
                     std::string_view) override {
    if (!is(name)) return;
    value.reset();
    if (!is_none()) value = number<double>(value_, min, max, "a number or none");
  }
  void reals(std::string_view name, std::vector<double>& values, double min, double max, std::string_view) override {
    if (!is(name)) return;
    if (value_.size() < 2 || value_.front() != '[' || value_.back() != ']') {
      fail_usage("press {}: {}={} is not a list; write [0.25, 0.5]", press_, name_, value_);
    }
    values.clear();
    const std::string inside = value_.substr(1, value_.size() - 2);
    if (inside.find_first_not_of(' ') == std::string::npos) return;
    for (const std::string& item : split_presses(inside)) values.push_back(number<double>(item, min, max, "a number"));
  }
  void flag(std::string_view name, bool& value, std::string_view) override {
    if (!is(name)) return;
    if (value_ == "true" || value_ == "True" || value_ == "1") {
      value = true;
    } else if (value_ == "false" || value_ == "False" || value_ == "0") {
      value = false;
    } else {
      fail_usage("press {}: {}={} is not true or false", press_, name_, value_);
    }
  }
  void choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
              std::string_view) override {
    if (!is(name)) return;
    if (std::find(choices.begin(), choices.end(), value_) == choices.end()) {
      const std::vector<std::string> known(choices.begin(), choices.end());
      fail_usage("press {}: {}={}", press_, name_, is_not_known(value_, known));
    }
    value = value_;
  }
  void file(std::string_view name, std::string& value, std::string_view) override {
    if (is(name)) value = is_none() ? "" : value_;
  }
  void press(std::string_view name, InnerPress& value, Inside inside, std::string_view) override {
    if (!takes_press(name)) return;
    // What stands there from the start is a default; what was written is not to be written over.
    if (filled_.contains(std::string(name))) {
      if (name_.empty()) return void(found_ = false);  // perhaps there is room for it further on
      fail_usage("press {}: {} is given twice", press_, name);
    }
    filled_.insert(std::string(name));
    value = inner(inside);
  }
  void presses(std::string_view name, std::vector<InnerPress>& values, Inside inside, std::string_view) override {
    if (takes_press(name)) values.push_back(inner(inside));
  }

  bool found() const { return found_; }

 private:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

  bool is(std::string_view name) {
    if (name != name_) return false;
    return found_ = true;
  }
  bool takes_press(std::string_view name) {
    if (found_ || (!name_.empty() && name != name_)) return false;
    return found_ = true;
  }
  bool is_none() const { return value_ == "none" || value_ == "None"; }

  template <typename T>
  T number(const std::string& text, T min, T max, std::string_view kind) const {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value != value) {
      fail_usage("press {}: {}={} is not {}", press_, name_, text, kind);
    }
    if (value < min) fail_usage("press {}: {}={} is below {}, the minimum", press_, name_, value, min);
    if (value > max) fail_usage("press {}: {}={} is above {}, the maximum", press_, name_, value, max);
    return value;
  }

  InnerPress inner(Inside inside) const {
    InnerPress press = make_inner_(value_);
    if (!press || !fits_inside(press->kind(), inside)) {
      fail_usage("press {}: {} is not {}; use one of: {}", press_, value_, wanted(inside), names_that_fit(inside));
    }
    return press;
  }

  std::string press_;
  std::string name_;
  std::string value_;
  const MakeInner& make_inner_;
  std::set<std::string>& filled_;
  bool found_ = false;
};

/// Finds the presses inside.
class Inners : public Lister {
 public:
  void press(std::string_view, InnerPress& value, Inside, std::string_view) override {
    if (value) presses_inside.push_back(&value);
  }
  void presses(std::string_view, std::vector<InnerPress>& values, Inside, std::string_view) override {
    for (InnerPress& it : values) presses_inside.push_back(&it);
  }
  std::vector<InnerPress*> presses_inside;
};

/// Whether one of the presses inside has the parameter, and takes it.
bool set_inside(const Inners& inners, const PressSpec& spec, const MakeInner& make_inner) {
  for (InnerPress* it : inners.presses_inside) {
    const auto parameters = parameters_of(**it);
    const bool has = std::any_of(parameters.begin(), parameters.end(),
                                 [&](const auto& parameter) { return parameter.name == spec.arguments.front().name; });
    if (has) {
      set_parameters(**it, spec, make_inner);
      return true;
    }
    Inners deeper;
    (*it)->visit_parameters(deeper);
    if (set_inside(deeper, spec, make_inner)) return true;
  }
  return false;
}

/// Complains of a press that was left out.
class Completeness : public Lister {
 public:
  explicit Completeness(std::string name) : name_(std::move(name)) {}
  void press(std::string_view, InnerPress& value, Inside inside, std::string_view) override {
    if (!value) missing(inside);
  }
  void presses(std::string_view, std::vector<InnerPress>& values, Inside inside, std::string_view) override {
    if (values.empty()) missing(inside);
  }

 private:
  void missing(Inside inside) const {
    fail_usage("press {}: needs {} inside, such as {}(knorm); use one of: {}", name_, wanted(inside), name_,
               names_that_fit(inside));
  }
  std::string name_;
};

}  // namespace

std::vector<ParameterValue> parameters_of(Parameterized& press) {
  Lister lister;
  press.visit_parameters(lister);
  return lister.parameters;
}

void set_parameters(Parameterized& press, const PressSpec& spec, const MakeInner& make_inner, bool nested) {
  std::set<std::string> filled;
  for (const PressArgument& argument : spec.arguments) {
    if (nested && argument.name.empty()) {
      fail_usage("press {}: '{}' is not of the form parameter=value", spec.name, argument.value);
    }
    Setter setter(spec, argument, make_inner, filled);
    press.visit_parameters(setter);
    if (setter.found()) continue;
    Inners inners;
    press.visit_parameters(inners);
    if (nested && set_inside(inners, {spec.name, {argument}}, make_inner)) continue;
    if (argument.name.empty()) {
      if (!inners.presses_inside.empty())
        fail_usage("press {}: no more presses are allowed inside; remove {}", spec.name, argument.value);
      fail_usage("press {}: '{}' is not of the form parameter=value", spec.name, argument.value);
    }
    std::vector<std::string> known;
    for (const ParameterValue& it : parameters_of(press)) known.push_back(it.name);
    if (known.empty()) fail_usage("press {}: parameter '{}' is not known; it has none", spec.name, argument.name);
    fail_usage("press {}: parameter {}", spec.name, is_not_known(argument.name, known));
  }
}

void check_complete(Parameterized& press, const std::string& name) {
  Completeness completeness(name);
  press.visit_parameters(completeness);
}

}  // namespace kvpress
