// How a sequence's cache is compressed: by which press, to which budget, when, and how it is stored. The one place
// where these settings are checked and worked out.
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

/// How RoPE positions are counted.
enum class Positions : std::uint8_t {
  text,  ///< by places in the text: evicting leaves gaps
  cache  ///< by slots of the cache: kept keys are turned together (CacheShape::renumber)
};
std::string_view to_string(Positions positions);
/// Throws UsageError naming `setting`; also when the model has no rotary positions to renumber.
Positions parse_positions(const std::string& text, const std::string& setting, const ModelConfig& config);

struct CompressionSettings {
  NamedPress press = {"no_press", nullptr};
  Budget budget;                          ///< of the compressions of the prefill
  std::int64_t compression_interval = 0;  ///< compress again every so many decoded tokens; 0: as the press is written
  Budget decoding_budget;                 ///< of those compressions; a fixed one
  Positions positions = Positions::text;
  CacheFormat cache_format = {};
  std::uint64_t seed = 0;  ///< for presses that draw random numbers

  /// Sets the budgets from what users write: a ratio, and a fixed budget that takes its place. With an interval the
  /// fixed one is that of decoding, and the ratio that of the prefill. Throws UsageError for an interval below 0 or one
  /// without a fixed budget.
  void set_budgets(double ratio, const Budget& fixed, std::int64_t interval);

  /// Whether a number of tokens or bytes stands in place of the prefill's ratio.
  bool has_fixed_budget() const { return budget.is_fixed(); }
  /// The same without a press: the full cache.
  CompressionSettings without_press() const;
  /// The same with another press and, unless the budget is fixed, another ratio.
  CompressionSettings with(const NamedPress& press, double ratio) const;

  /// Nothing is compressed without a press.
  CompressionPlan plan() const { return press.plan(budget, compression_interval, decoding_budget); }

  /// One more than the highest RoPE position that is reached when n_prompt tokens are read at once and n_more follow,
  /// as far as it is known from the settings alone.
  std::int64_t highest_position(std::int64_t n_prompt, std::int64_t n_more) const;
};

}  // namespace kvpress
