#include "kvpress/press/registry.h"

#include <algorithm>
#include <utility>

#include "base/closest.h"
#include "kvpress/base/error.h"
#include "press/entries.h"
#include "press/flat_names.h"
#include "press/parameter_values.h"
#include "press/schedule_forms.h"
#include "press/spec.h"

namespace kvpress {
namespace {

const PressEntry* find_entry(const std::string& name) {
  const auto entries = press_entries();
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const auto* entry) { return entry->name == name; });
  return it == entries.end() ? nullptr : *it;
}

const FlatName* find_flat_name(const std::string& name, Names names) {
  for (const FlatName& it : flat_names()) {
    if (it.name == name && (!it.registry_only || names == Names::registry)) return &it;
  }
  return nullptr;
}

[[noreturn]] void fail_unknown(const std::string& name) {
  std::vector<std::string> known = {"no_press"};
  for (const PressEntry* it : press_entries()) known.emplace_back(it->name);
  for (const ScheduleForm& it : schedule_forms()) known.emplace_back(it.name);
  for (const FlatName& it : flat_names()) {
    if (!it.registry_only) known.emplace_back(it.name);
  }
  fail_usage("press {}", is_not_known(name, known));
}

InnerPress make(const std::string& text);

/// The composition that a flat name stands for; parameters go to whichever of its presses has them.
InnerPress make_flat(const FlatName& flat, const PressSpec& spec) {
  InnerPress press = make(std::string(flat.stands_for));
  set_parameters(*press, spec, make, true);
  return press;
}

InnerPress make(const std::string& text) {
  const PressSpec spec = parse_press_spec(text);
  if (spec.name == "no_press") {
    if (!spec.arguments.empty()) fail_usage("press no_press takes no parameters");
    return {text, nullptr};
  }
  const PressEntry* entry = find_entry(spec.name);
  const FlatName* flat = entry == nullptr ? find_flat_name(spec.name, Names::classes) : nullptr;
  if (flat != nullptr) return make_flat(*flat, spec);
  if (find_schedule_form(spec.name) != nullptr)
    fail_usage("press {}: is a schedule, which cannot be inside a press", spec.name);
  if (entry == nullptr) fail_unknown(spec.name);
  std::unique_ptr<Press> press = entry->make();
  set_parameters(*press, spec, make);
  check_complete(*press, spec.name);
  return {text, std::move(press)};
}

}  // namespace

namespace {

/// The library's own, and what was registered.
std::vector<const PressEntry*>& all_entries() {
  static std::vector<const PressEntry*> all = {
      &kRandomPress,                 // by the number of things they look at
      &kKnormPress,                  //
      &kStreamingLlmPress,           //
      &kKeyDiffPress,                //
      &kLagKVPress,                  //
      &kCurPress,                    //
      &kLeveragePress,               //
      &kTovaPress,                   //
      &kSnapKVPress,                 //
      &kExpectedAttentionPress,      //
      &kCapPress,                    //
      &kNonCausalAttentionPress,     //
      &kCompactorPress,              //
      &kObservedAttentionPress,      //
      &kQFilterPress,                // with trained parts
      &kKVzapPress,                  //
      &kDuoAttentionPress,           //
      &kAdaKVPress,                  // what shapes the choice of another press
      &kCriticalPress,               //
      &kCriticalAdaKVPress,          //
      &kChunkPress,                  //
      &kChunkKVPress,                //
      &kEntropyGatedChunkKVPress,    //
      &kBlockPress,                  //
      &kPyramidKVPress,              // budgets that differ from layer to layer
      &kSimLayerKVPress,             //
      &kPerLayerPress,               //
      &kLuKVPress,                   //
      &kDmsPress,                    //
      &kComposedPress,               // one after the other
      &kKVzipPress,                  // what runs the model again
      &kKVzipPlusPress,              //
      &kKVComposePress,              //
      &kKVComposeUnstructuredPress,  //
      &kFastKVzipPress,              // what takes all layers at once
      &kKeyRerotationPress,          // what edits the entries
      &kFinchPress,                  //
      &kMergingPress,                //
      &kThinkPress,                  //
      &kCamPress,                    //
  };
  return all;
}

}  // namespace

std::span<const PressEntry* const> press_entries() { return all_entries(); }

void register_press(const PressEntry& entry) {
  const std::string name(entry.name);
  if (find_entry(name) != nullptr || find_flat_name(name, Names::registry) != nullptr ||
      find_schedule_form(name) != nullptr) {
    fail_usage("press '{}' cannot be registered: the name is taken", name);
  }
  all_entries().push_back(&entry);
}

NamedPress parse_press(const std::string& text, Names names) {
  const PressSpec spec = parse_press_spec(text);
  const FlatName* flat = find_flat_name(spec.name, names);
  const PressSpec meant = flat != nullptr ? parse_press_spec(std::string(flat->stands_for)) : spec;
  if (const ScheduleForm* form = find_schedule_form(meant.name)) {
    const auto schedule = form->make();
    set_parameters(*schedule, meant, make);
    if (flat != nullptr) set_parameters(*schedule, spec, make, true);
    check_complete(*schedule, spec.name);
    NamedPress press = schedule->named();
    press.text = text;
    press.names = names;
    return press;
  }
  const InnerPress press = flat != nullptr ? make_flat(*flat, spec) : make(text);
  return {text, press ? press->clone() : nullptr, {}, names};
}

void NamedPress::prepare(const PressSetup& setup) const {
  if (press != nullptr) press->prepare(setup);
  if (decoding && decoding->press != press) decoding->press->prepare(setup);
}

CompressionPlan NamedPress::plan(const Budget& budget, std::int64_t compression_interval,
                                 const Budget& decoding_budget) const {
  CompressionPlan plan;
  plan.name = text;
  // With nothing to evict ever, a press is not even asked: such a run is the full cache's, bit for bit.
  if (!budget.keeps_all()) plan.prefill = press.get();
  plan.prefill_budget = budget;
  if (decoding) {
    plan.decoding = decoding->press.get();
    plan.compression_interval = decoding->compression_interval;
    plan.decoding_budget = decoding->target_size ? Budget::of_tokens(*decoding->target_size)
                                                 : Budget::of_ratio(decoding->ratio.value_or(budget.ratio));
  }
  if (compression_interval > 0) {
    if (plan.decoding == nullptr) plan.decoding = press.get();
    plan.compression_interval = compression_interval;
    plan.decoding_budget = decoding_budget;
  }
  if (plan.decoding_budget.keeps_all()) plan.decoding = nullptr;
  return plan;
}

}  // namespace kvpress
