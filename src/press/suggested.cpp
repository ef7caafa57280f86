#include "press/suggested.h"

#include <set>

#include "kvpress/press/registry.h"
#include "press/flat_names.h"
#include "press/parameter_values.h"
#include "press/schedule_forms.h"
#include "press/spec.h"

namespace kvpress {

std::vector<std::string> suggested_presses() {
  std::vector<std::string> presses;
  std::set<std::string> known;  // also in other words: block is block(keydiff)
  for (const PressEntry* entry : press_entries()) {
    const std::string name(entry->name);
    // These are nothing by themselves: what matters is what is put inside.
    if (name == "composed" || name == "per_layer") continue;
    if (name == "simlayerkv") {  // with its defaults no layer is lazy, and 1,024 recent tokens stay in any case
      presses.emplace_back("simlayerkv(lazy_threshold=0.9, n_recent=256)");
      continue;
    }
    bool wants_press = false;
    for (const ParameterValue& it : parameters_of(*entry->make())) {
      if (it.name == "press") known.insert(name + "(" + it.value + ")");
      wants_press = wants_press || it.value.empty();
    }
    presses.push_back(name + (wants_press ? "(snapkv)" : ""));
    known.insert(presses.back());
  }
  for (const FlatName& it : flat_names()) {
    const std::string meant(it.stands_for);
    const bool decodes = find_schedule_form(parse_press_spec(meant).name) != nullptr;
    if (!decodes && known.insert(meant).second) presses.push_back(meant);
  }
  return presses;
}

}  // namespace kvpress
