#include "kvpress/press/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/press/entries.h"
#include "kvpress/press/parameter_values.h"
#include "kvpress/press/spec.h"

namespace kvpress {
namespace {

InnerPress make(const std::string& text) {
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
  set_parameters(*press, spec, make);
  return {text, std::move(press)};
}

}  // namespace

std::span<const PressEntry* const> press_entries() {
  static constexpr std::array kAll = {
      &kRandomPress,               // by the number of things they look at
      &kKnormPress,                //
      &kStreamingLlmPress,         //
      &kKeyDiffPress,              //
      &kLagKVPress,                //
      &kCurPress,                  //
      &kTovaPress,                 //
      &kSnapKVPress,               //
      &kExpectedAttentionPress,    //
      &kObservedAttentionPress,    //
      &kQFilterPress,              // with trained parts
      &kKVzapPress,                //
      &kDuoAttentionPress,         //
      &kAdaKVPress,                // what shapes the choice of another press
      &kCriticalPress,             //
      &kCriticalAdaKVPress,        //
      &kChunkPress,                //
      &kChunkKVPress,              //
      &kEntropyGatedChunkKVPress,  //
      &kBlockPress,                //
      &kPyramidKVPress,            // budgets that differ from layer to layer
      &kSimLayerKVPress,           //
      &kPerLayerPress,             //
  };
  return kAll;
}

NamedPress parse_press(const std::string& text) {
  const InnerPress press = make(text);
  return {text, press ? press->clone() : nullptr};
}

}  // namespace kvpress
