#include "kvpress/press/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/press/entries.h"
#include "kvpress/press/spec.h"

namespace kvpress {
namespace {

/// Lists parameters and their values.
class Lister : public ParameterVisitor {
 public:
  void integer(std::string_view name, std::int64_t& value, std::int64_t, std::string_view meaning) override {
    add(name, fmt::format("{}", value), meaning);
  }
  void real(std::string_view name, double& value, double, std::string_view meaning) override {
    add(name, fmt::format("{}", value), meaning);
  }
  void flag(std::string_view name, bool& value, std::string_view meaning) override {
    add(name, value ? "true" : "false", meaning);
  }
  void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t,
                        std::string_view meaning) override {
    add(name, value ? fmt::format("{}", *value) : "none", meaning);
  }

  std::vector<ParameterValue> parameters;

 private:
  void add(std::string_view name, std::string value, std::string_view meaning) {
    parameters.push_back({std::string(name), std::move(value), std::string(meaning)});
  }
};

/// Sets the one parameter that is called `name`.
class Setter : public ParameterVisitor {
 public:
  Setter(std::string press, std::string name, std::string value)
      : press_(std::move(press)), name_(std::move(name)), value_(std::move(value)) {}

  void integer(std::string_view name, std::int64_t& value, std::int64_t min, std::string_view) override {
    if (name != name_) return;
    found_ = true;
    value = number<std::int64_t>(min, "a whole number");
  }
  void real(std::string_view name, double& value, double min, std::string_view) override {
    if (name != name_) return;
    found_ = true;
    value = number<double>(min, "a number");
  }
  void flag(std::string_view name, bool& value, std::string_view) override {
    if (name != name_) return;
    found_ = true;
    if (value_ == "true" || value_ == "True" || value_ == "1") {
      value = true;
    } else if (value_ == "false" || value_ == "False" || value_ == "0") {
      value = false;
    } else {
      fail_usage("press {}: {}={} is not true or false", press_, name_, value_);
    }
  }
  void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t min,
                        std::string_view) override {
    if (name != name_) return;
    found_ = true;
    if (value_ == "none" || value_ == "None") {
      value.reset();
    } else {
      value = number<std::int64_t>(min, "a whole number or none");
    }
  }

  bool found() const { return found_; }

 private:
  template <typename T>
  T number(T min, std::string_view kind) const {
    T value{};
    const auto [end, error] = std::from_chars(value_.data(), value_.data() + value_.size(), value);
    if (error != std::errc() || end != value_.data() + value_.size() || value != value) {
      fail_usage("press {}: {}={} is not {}", press_, name_, value_, kind);
    }
    if (value < min) fail_usage("press {}: {}={} is below {}, the least it can be", press_, name_, value_, min);
    return value;
  }

  std::string press_;
  std::string name_;
  std::string value_;
  bool found_ = false;
};

}  // namespace

std::span<const PressEntry* const> press_entries() {
  static constexpr std::array<const PressEntry*, 8> kAll = {
      &kRandomPress, &kKnormPress,  &kStreamingLlmPress,      &kKeyDiffPress,
      &kTovaPress,   &kSnapKVPress, &kExpectedAttentionPress, &kObservedAttentionPress};
  return kAll;
}

std::vector<ParameterValue> parameters_of(Press& press) {
  Lister lister;
  press.visit_parameters(lister);
  return lister.parameters;
}

NamedPress parse_press(const std::string& text) {
  const PressSpec spec = parse_press_spec(text);
  if (spec.name == "no_press") {
    if (!spec.arguments.empty()) fail_usage("press no_press takes no parameters");
    return {text, nullptr};
  }
  const PressEntry* entry = nullptr;
  std::vector<std::string_view> names = {"no_press"};
  for (const PressEntry* it : press_entries()) {
    names.push_back(it->name);
    if (it->name == spec.name) entry = it;
  }
  if (entry == nullptr) fail_usage("press '{}' is not known; known: {}", spec.name, fmt::join(names, ", "));

  std::unique_ptr<Press> press = entry->make();
  for (const auto& [name, value] : spec.arguments) {
    Setter setter(spec.name, name, value);
    press->visit_parameters(setter);
    if (setter.found()) continue;
    std::vector<std::string> known;
    for (const ParameterValue& it : parameters_of(*press)) known.push_back(it.name);
    fail_usage("press {}: parameter '{}' is not known; {}", spec.name, name,
               known.empty() ? "it has none" : fmt::format("known: {}", fmt::join(known, ", ")));
  }
  return {text, std::move(press)};
}

}  // namespace kvpress
