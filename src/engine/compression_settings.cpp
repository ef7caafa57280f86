#include "kvpress/engine/compression_settings.h"

#include <algorithm>

#include "kvpress/base/error.h"

namespace kvpress {

std::string_view to_string(Positions positions) { return positions == Positions::text ? "text" : "cache"; }

Positions parse_positions(const std::string& text, const std::string& setting, const ModelConfig& config) {
  if (text == "text") return Positions::text;
  if (text != "cache") fail_usage("{}: '{}' is not known; known: text, cache", setting, text);
  if (!config.has_rope()) {
    fail_usage("{}: cache needs a model with RoPE; use text", setting);
  }
  return Positions::cache;
}

void CompressionSettings::set_budgets(double ratio, const Budget& fixed, std::int64_t interval) {
  if (interval < 0)
    fail_setting("compression_interval", "{} is negative; give a number of tokens, or 0 for none", interval);
  if (interval > 0 && !fixed.is_fixed()) {
    fail_setting("compression_interval", "{} is needed as well: the number of tokens to keep at each compression",
                 setting("target_size"));
  }
  budget = fixed.is_fixed() && interval == 0 ? fixed : Budget::of_ratio(ratio);
  compression_interval = interval;
  decoding_budget = interval > 0 ? fixed : Budget();
}

CompressionSettings CompressionSettings::without_press() const {
  CompressionSettings full;
  full.positions = positions;
  full.cache_format = cache_format;
  full.seed = seed;
  return full;
}

CompressionSettings CompressionSettings::with(const NamedPress& other, double ratio) const {
  if (other.is_none()) return without_press();
  CompressionSettings settings = *this;
  settings.press = other;
  if (!has_fixed_budget()) settings.budget = Budget::of_ratio(ratio);
  return settings;
}

std::int64_t CompressionSettings::highest_position(std::int64_t n_prompt, std::int64_t n_more) const {
  const std::int64_t all = n_prompt + n_more;
  if (positions == Positions::text) return all;
  if (compression_interval > 0 && decoding_budget.target_size) {
    return std::max(n_prompt + compression_interval, *decoding_budget.target_size);
  }
  if (budget.target_size) return std::max(n_prompt, std::min(n_prompt, *budget.target_size) + n_more);
  return all;
}

}  // namespace kvpress
