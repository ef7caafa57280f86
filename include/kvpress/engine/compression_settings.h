// The compression settings of a sequence: press, budgets, interval, positions and format of the cache. They are checked
// and resolved here and nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/cache/cache_format.h"
#include "kvpress/model/config.h"
#include "kvpress/press/budget.h"
#include "kvpress/press/registry.h"
#include "kvpress/press/schedule.h"

namespace kvpress {

/// How RoPE positions are assigned.
enum class Positions : std::uint8_t {
  text,  ///< positions in the text; eviction leaves gaps
  cache  ///< slots of the cache; kept keys are rotated (CacheShape::renumber)
};
std::string_view to_string(Positions positions);
/// Throws UsageError that names `setting` for an unknown value, and for `cache` if the model has no RoPE.
Positions parse_positions(const std::string& text, const std::string& setting, const ModelConfig& config);

struct CompressionSettings {
  NamedPress press = {"no_press", nullptr};
  Budget budget;                          ///< of compressions in the prefill
  std::int64_t compression_interval = 0;  ///< in decoded tokens; 0: as written in the press
  Budget decoding_budget;                 ///< of compressions during decode; a fixed budget
  Positions positions = Positions::text;
  bool press_window_layers = false;  ///< whether layers with windows are compressed as well
  CacheFormat cache_format = {};
  std::uint64_t seed = 0;  ///< for presses that draw random numbers

  /// Sets the budgets. Without an interval, `fixed` replaces the ratio if it is a fixed budget. With an interval > 0,
  /// the ratio applies to the prefill and `fixed` to decode. Throws UsageError if the interval is negative or has no
  /// fixed budget.
  void set_budgets(double ratio, const Budget& fixed, std::int64_t interval);

  /// Whether the budget of the prefill is in tokens or bytes.
  bool has_fixed_budget() const { return budget.is_fixed(); }
  /// The same settings for the full cache.
  CompressionSettings without_press() const;
  /// The same settings with another press and, unless the budget is fixed, another ratio.
  CompressionSettings with(const NamedPress& press, double ratio) const;

  /// The plan for a Compressor. Without a press it compresses nothing.
  CompressionPlan plan() const { return press.plan(budget, compression_interval, decoding_budget); }

  /// An upper bound of the RoPE positions, exclusive, for a prefill of n_prompt tokens in one pass and n_more later
  /// tokens. Uses only the settings.
  std::int64_t highest_position(std::int64_t n_prompt, std::int64_t n_more) const;
};

}  // namespace kvpress
