// The registry of presses, and the parser of their notation: "knorm", "snapkv(window_size=32)", "adakv(snapkv)".
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/press/press_entry.h"
#include "kvpress/press/schedule.h"

namespace kvpress {

/// All presses except no_press, in the order of `kvpress presses`. To add a press: write its file, declare its entry in
/// entries.h and add it to the list in registry.cpp.
std::span<const PressEntry* const> press_entries();

/// Adds a press from outside the library. The entry is not copied and must outlive all uses of the registry. Not thread
/// safe: call it before presses are parsed. Throws UsageError if the name is taken.
void register_press(const PressEntry& entry);

/// How to read a name that has two meanings in kvpress.
enum class Names : std::uint8_t {
  classes,  ///< expected_attention is the method
  registry  ///< expected_attention is that of kvpress's evaluation: adakv(expected_attention(epsilon=0.01))
};

/// A parsed press: the press for the prefill and, if one was written, the schedule for decode. Both are empty for
/// "no_press".
struct NamedPress {
  std::string text;              ///< as written
  std::shared_ptr<Press> press;  ///< null for no_press and decoding(...)
  std::optional<DecodingSchedule> decoding = {};
  Names names = Names::classes;  ///< how the text was read

  bool is_none() const { return press == nullptr && !decoding; }
  /// Whether the result depends on the ratio of the run.
  bool uses_ratio() const { return press != nullptr || (decoding && !decoding->target_size && !decoding->ratio); }
  /// Calls Press::prepare() of each press.
  void prepare(const PressSetup& setup) const;
  /// The plan of a run with this budget. If compression_interval > 0, it replaces the interval of decode, and
  /// decoding_budget its budget; the press for the prefill also compresses during decode unless another one was
  /// written.
  CompressionPlan plan(const Budget& budget, std::int64_t compression_interval = 0,
                       const Budget& decoding_budget = {}) const;
};

/// Parses the notation of a press. Throws UsageError for an unknown name or parameter, a value out of range, unbalanced
/// parentheses, or a press that does not fit inside another; the message lists the valid choices.
NamedPress parse_press(const std::string& text, Names names = Names::classes);

}  // namespace kvpress
