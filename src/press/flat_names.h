// The flat names of kvpress's evaluation registry, and the compositions they stand for.
#pragma once

#include <span>
#include <string_view>

namespace kvpress {

struct FlatName {
  std::string_view name;
  std::string_view stands_for;
  bool registry_only = false;  ///< the name is a press's own as well, which counts unless the registry's is asked for
};
std::span<const FlatName> flat_names();

}  // namespace kvpress
