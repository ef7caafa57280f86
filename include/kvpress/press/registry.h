// Presses by name, and how they are written on a command line: "knorm", "snapkv(window_size=32)", "adakv(snapkv)".
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/press/press_entry.h"
#include "kvpress/press/schedule.h"

namespace kvpress {

/// Every press but no_press, in the order they are listed. To add one: write its file, declare its entry in entries.h,
/// and name it in registry.cpp.
std::span<const PressEntry* const> press_entries();

/// Makes a press of one's own known, from outside of the library. Call it before presses are parsed, on one thread; the
/// entry must live on. Throws UsageError when the name is taken.
void register_press(const PressEntry& entry);

/// A press as the user wrote it, made and checked: what compresses after the prefill, and while decoding where that was
/// written. Nothing of both for "no_press".
struct NamedPress {
  std::string text;              ///< as written
  std::shared_ptr<Press> press;  ///< null in decoding(...) as well
  std::optional<DecodingSchedule> decoding = {};

  bool is_none() const { return press == nullptr && !decoding; }
  /// Whether the run's ratio has a part in it.
  bool uses_ratio() const { return press != nullptr || (decoding && !decoding->target_size && !decoding->ratio); }
  /// Calls Press::prepare() of each.
  void prepare(const PressSetup& setup) const;
  /// With the run's budget. `compression_interval` above 0 sets or replaces the schedule of decoding, by the same press
  /// where none was written for it; `decoding_budget` goes with it.
  CompressionPlan plan(const Budget& budget, std::int64_t compression_interval = 0,
                       const Budget& decoding_budget = {}) const;
};

/// Which meaning of a name counts where kvpress has two.
enum class Names : std::uint8_t {
  classes,  ///< expected_attention is the method
  registry  ///< expected_attention is what kvpress's evaluation means: adakv(expected_attention(epsilon=0.01))
};

/// Throws UsageError that says what is wrong (unknown name or parameter, value out of range, unbalanced parentheses, a
/// press that does not fit inside another) and lists what would be right.
NamedPress parse_press(const std::string& text, Names names = Names::classes);

}  // namespace kvpress
