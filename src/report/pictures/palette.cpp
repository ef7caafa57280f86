#include "report/pictures/palette.h"

#include <algorithm>
#include <array>
#include <set>

#include "kvpress/press/registry.h"
#include "press/flat_names.h"

namespace kvpress {
namespace {

/// Okabe and Ito's, without black, and four more. Their yellow cannot be seen on white: there it is darker.
constexpr std::array<Color, 11> kColors = {{{"#0072B2", "#3D9BE0"},    // blue
                                            {"#D55E00", "#E8742A"},    // vermilion
                                            {"#009E73", "#1DB98B"},    // bluish green
                                            {"#CC79A7", "#DB8DB8"},    // reddish purple
                                            {"#E69F00", "#EDB02E"},    // orange
                                            {"#56B4E9", "#7CC8F2"},    // sky blue
                                            {"#8C8000", "#F0E442"},    // yellow
                                            {"#332288", "#9A8CFF"},    // indigo
                                            {"#882255", "#E0559A"},    // wine
                                            {"#7A4A1E", "#C99B6B"},    // brown
                                            {"#117733", "#8FD694"}}};  // dark green
constexpr int kMarks = 12;
constexpr int kDashes = 5;
/// Colour and mark go round side by side and meet again after 11 x 12 steps, with another dash then.
constexpr int kSlots = static_cast<int>(kColors.size()) * kMarks * kDashes;

/// Those most often seen together have a colour each.
constexpr const char* kFirst[] = {"snapkv", "knorm",   "expected_attention", "streaming_llm",
                                  "tova",   "keydiff", "observed_attention"};

PressStyle style_of_slot(int slot) {
  const auto n_colors = static_cast<int>(kColors.size());
  return {kColors[static_cast<std::size_t>(slot % n_colors)], static_cast<Mark>(slot % kMarks),
          static_cast<Dash>(slot / n_colors % kDashes)};
}

/// As long as there are marks for all, no two presses share one: on a small screen colours and dashes are not enough.
void part_marks(std::map<std::string, PressStyle>& styles, const std::map<std::string, int>& slots) {
  if (slots.size() > static_cast<std::size_t>(kMarks)) return;
  std::vector<std::pair<int, std::string>> by_slot;
  for (const auto& [name, slot] : slots) by_slot.emplace_back(slot, name);
  std::sort(by_slot.begin(), by_slot.end());
  std::set<Mark> taken;
  for (const auto& [slot, name] : by_slot) {
    Mark& mark = styles[name].mark;
    while (!taken.insert(mark).second) mark = static_cast<Mark>((static_cast<int>(mark) + 1) % kMarks);
  }
}

/// Places of the names that are known: the first, then the registry's, then kvpress's flat names.
const std::map<std::string, int>& known_slots() {
  static const std::map<std::string, int> slots = [] {
    std::map<std::string, int> known;
    const auto add = [&](const std::string& name) { known.emplace(name, static_cast<int>(known.size())); };
    for (const char* name : kFirst) add(name);
    for (const PressEntry* it : press_entries()) add(std::string(it->name));
    for (const FlatName& it : flat_names()) add(std::string(it.name));
    return known;
  }();
  return slots;
}

/// FNV-1a: the same on every machine.
std::uint32_t hash_of(const std::string& name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

}  // namespace

std::map<std::string, PressStyle> press_styles(const std::vector<std::string>& names) {
  std::map<std::string, PressStyle> styles;
  std::set<int> taken;
  std::map<std::string, int> slots;  // of all but no_press and random
  std::set<std::string> others;      // by the alphabet, so that the order of the names does not matter
  for (const std::string& name : names) {
    if (name == "no_press") {
      styles[name] = {{"#000000", "#FFFFFF"}, Mark::diamond, Dash::long_dashed};
    } else if (name == "random") {
      styles[name] = {{"#767676", "#A0A0A0"}, Mark::cross, Dash::dotted};
    } else if (const auto at = known_slots().find(name); at != known_slots().end()) {
      styles[name] = style_of_slot(at->second);
      taken.insert(at->second);
      slots[name] = at->second;
    } else {
      others.insert(name);
    }
  }
  for (const std::string& name : others) {
    int slot = static_cast<int>(hash_of(name) % kSlots);
    // A full picture has more lines than anyone could tell apart; styles repeat then.
    for (int i = 0; i < kSlots && taken.count(slot) != 0; ++i) slot = (slot + 1) % kSlots;
    taken.insert(slot);
    styles[name] = style_of_slot(slot);
    slots[name] = slot;
  }
  part_marks(styles, slots);
  return styles;
}

const char* to_string(Mark mark) {
  constexpr const char* kNames[kMarks] = {
      "circle",        "square",       "triangle",           "diamond", "triangle_down", "open_circle", "open_square",
      "open_triangle", "open_diamond", "open_triangle_down", "plus",    "cross"};
  return kNames[static_cast<std::size_t>(mark)];
}

std::vector<int> dash_lengths(Dash dash) {
  switch (dash) {
    case Dash::solid:
      return {};
    case Dash::dashed:
      return {7, 4};
    case Dash::dotted:
      return {2, 3};
    case Dash::dash_dot:
      return {8, 3, 2, 3};
    case Dash::long_dashed:
      return {13, 5};
  }
  return {};
}

}  // namespace kvpress
