// Reading and setting the parameters that presses list.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/press/parameters.h"
#include "press/spec.h"

namespace kvpress {

/// One parameter as it stands.
struct ParameterValue {
  std::string name;
  std::string value;  ///< in the notation that sets it
  std::string meaning;
};
std::vector<ParameterValue> parameters_of(Parameterized& press);

/// Makes the press that stands inside another.
using MakeInner = std::function<InnerPress(const std::string& text)>;

/// Sets the parameters that `spec` writes. With `nested`, one that the press does not have goes to the first press
/// inside that has it. Throws UsageError that says what is wrong and what would be right.
void set_parameters(Parameterized& press, const PressSpec& spec, const MakeInner& make_inner, bool nested = false);

/// Throws UsageError when a press inside was left out.
void check_complete(Parameterized& press, const std::string& name);

}  // namespace kvpress
