// The flat names of kvpress's evaluation registry and the compositions that they stand for.
#pragma once

#include <span>
#include <string_view>

namespace kvpress {

struct FlatName {
  std::string_view name;
  std::string_view stands_for;
  bool registry_only = false;  ///< also the name of a press; used only with Names::registry
};
std::span<const FlatName> flat_names();

}  // namespace kvpress
