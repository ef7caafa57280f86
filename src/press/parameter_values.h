// Reads and sets the parameters of presses.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/press/parameters.h"
#include "press/spec.h"

namespace kvpress {

/// A parameter and its current value.
struct ParameterValue {
  std::string name;
  std::string value;  ///< in the notation of presses
  std::string meaning;
};
std::vector<ParameterValue> parameters_of(Parameterized& press);

/// Makes an inner press.
using MakeInner = std::function<InnerPress(const std::string& text)>;

/// Sets the parameters in `spec`. With `nested`, a parameter that the press does not have is set in the first inner
/// press that has it. Throws UsageError with the valid choices.
void set_parameters(Parameterized& press, const PressSpec& spec, const MakeInner& make_inner, bool nested = false);

/// Throws UsageError if an inner press is missing.
void check_complete(Parameterized& press, const std::string& name);

}  // namespace kvpress
