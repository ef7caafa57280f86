#include "kvpress/press/suggested.h"

#include <algorithm>

#include "kvpress/press/flat_names.h"
#include "kvpress/press/parameter_values.h"
#include "kvpress/press/registry.h"
#include "kvpress/press/schedule_forms.h"
#include "kvpress/press/spec.h"

namespace kvpress {

std::vector<std::string> suggested_presses() {
  std::vector<std::string> presses;
  for (const PressEntry* entry : press_entries()) {
    // These are nothing by themselves: what matters is what is put inside.
    if (entry->name == "composed" || entry->name == "per_layer") continue;
    const auto parameters = parameters_of(*entry->make());
    const bool wants_press =
        std::any_of(parameters.begin(), parameters.end(), [](const auto& it) { return it.value.empty(); });
    presses.push_back(std::string(entry->name) + (wants_press ? "(snapkv)" : ""));
  }
  for (const FlatName& it : flat_names()) {
    const std::string meant(it.stands_for);
    const bool decodes = find_schedule_form(parse_press_spec(meant).name) != nullptr;
    if (decodes || std::find(presses.begin(), presses.end(), meant) != presses.end()) continue;
    presses.push_back(meant);
  }
  return presses;
}

}  // namespace kvpress
