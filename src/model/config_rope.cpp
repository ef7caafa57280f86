// The rotary positions that a config.json describes, in any of the places where transformers has them.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"
#include "model/config_json.h"
#include "model/rope_scaling.h"

namespace kvpress {
namespace {

/// A key where it may stand.
using Place = std::pair<const JsonConfig*, const char*>;

/// What the places that have it say; they must agree.
template <typename Value, typename Read>
std::optional<Value> agreed(const std::string& path, std::initializer_list<Place> places, Read read) {
  std::optional<Value> found;
  const char* found_key = nullptr;
  for (const auto& [object, key] : places) {
    const std::optional<Value> value = read(*object, key);
    if (!value) continue;
    if (found && *found != *value) {
      fail("{}: the rotary positions are described twice: '{}' is {}, but '{}' is {}", path, found_key, *found, key,
           *value);
    }
    found = value;
    found_key = key;
  }
  return found;
}

std::optional<double> agreed_number(const std::string& path, std::initializer_list<Place> places) {
  return agreed<double>(path, places, [](const JsonConfig& from, const char* key) { return from.number(key); });
}

/// A scaling as its objects describe it, by transformers' rules.
class Scaling {
 public:
  Scaling(const JsonConfig& config, const JsonConfig& newer, const JsonConfig& older, const RopeDefaults& defaults)
      : path_(config.path()),
        newer_(newer),
        older_(older),
        max_positions_(static_cast<double>(defaults.max_positions)) {
    type_ =
        agreed<std::string>(path_, {{&newer, "rope_type"}, {&newer, "type"}, {&older, "rope_type"}, {&older, "type"}},
                            [](const JsonConfig& from, const char* key) { return from.text(key); })
            .value_or("default");
    if (type_ == "su") type_ = "longrope";  // its name in the first files of Phi-3
    // These stand in many files whose type does not use them.
    factor_ = number("factor");
    low_ = number("low_freq_factor");
    high_ = number("high_freq_factor");
    original_ = agreed_number(path_, {{&newer, kOriginal}, {&older, kOriginal}, {&config, kOriginal}});
  }

  /// `planned`: the length of texts, or 0.
  RopeSpec of(std::int64_t rotary_dim, double base, std::int64_t planned) const {
    RopeSpec rope{rope_frequencies(rotary_dim, base), 1.0f};
    if (type_ == "linear") {
      const double by = needed(factor_, "factor");
      for (float& frequency : rope.inverse_frequencies) frequency = static_cast<float>(frequency / by);
    } else if (type_ == "llama3") {
      scale_as_llama3(rope);
    } else if (type_ == "yarn") {
      scale_as_yarn(rope, base);
    } else if (type_ == "longrope") {
      scale_as_longrope(rope, planned);
    } else if (type_ == "dynamic") {
      scale_dynamically(rope, base, planned);
    } else if (type_ != "default") {
      fail("{}: rotary scaling '{}' is not supported; known: default, linear, llama3, yarn, longrope, dynamic", path_,
           printable(type_));
    } else if (factor_ && *factor_ != 1) {
      fail("{}: rotary scaling has a 'factor' of {}, but no 'rope_type' that uses it", path_, *factor_);
    }
    return rope;
  }

 private:
  static constexpr const char* kOriginal = "original_max_position_embeddings";

  std::optional<double> number(const char* key) const { return agreed_number(path_, {{&newer_, key}, {&older_, key}}); }
  /// A number that must be above 0.
  double needed(std::optional<double> value, const char* key) const {
    if (!value) fail("{}: '{}' of rotary scaling '{}' is missing", path_, key, type_);
    if (!(*value > 0)) fail("{}: '{}' of rotary scaling '{}' is {}, it must be above 0", path_, key, type_, *value);
    return *value;
  }
  double original_context() const { return needed(original_.value_or(max_positions_), kOriginal); }
  /// Without a factor, how much longer the context became.
  double factor_or_ratio() const { return needed(factor_.value_or(max_positions_ / original_context()), "factor"); }

  void scale_as_llama3(RopeSpec& rope) const {
    Llama3Scaling llama3;
    llama3.factor = needed(factor_, "factor");
    llama3.low_frequency_factor = needed(low_, "low_freq_factor");
    llama3.high_frequency_factor = needed(high_, "high_freq_factor");
    llama3.original_context = original_context();
    if (llama3.low_frequency_factor == llama3.high_frequency_factor) {
      fail("{}: 'low_freq_factor' and 'high_freq_factor' are both {}, they must differ", path_,
           llama3.low_frequency_factor);
    }
    scale_frequencies(rope.inverse_frequencies, llama3);
  }

  void scale_as_yarn(RopeSpec& rope, double base) const {
    // As in transformers, null stands for the ratio of both contexts, and nothing for a mistake.
    if (!newer_.is_null("factor") && !older_.is_null("factor")) needed(factor_, "factor");
    const double factor = factor_or_ratio();
    // A 0 stands for what is not given.
    const auto given = [&](const char* key) { return number(key).value_or(0); };
    const auto or_default = [](double value, double fallback) { return value == 0 ? fallback : value; };
    const double fast = needed(or_default(given("beta_fast"), 32), "beta_fast");
    const double slow = needed(or_default(given("beta_slow"), 1), "beta_slow");
    const double scale = given("mscale");
    const double of_all = given("mscale_all_dim");
    double attention = yarn_attention_factor(factor);
    if (scale != 0 && of_all != 0) {
      attention = yarn_attention_factor(factor, scale) / yarn_attention_factor(factor, of_all);
    }
    rope.attention_factor =
        static_cast<float>(needed(number("attention_factor").value_or(attention), "attention_factor"));
    const auto flag = [](const JsonConfig& from, const char* key) {
      return from.has(key) ? std::optional(from.flag_or(key, true)) : std::nullopt;
    };
    const bool truncate = agreed<bool>(path_, {{&newer_, "truncate"}, {&older_, "truncate"}}, flag).value_or(true);
    agreed<bool>(path_, {{&newer_, "finetuned"}, {&older_, "finetuned"}}, flag);  // changes nothing
    const YarnRange range = yarn_range(rope.rotary_dim(), base, original_context(), fast, slow, truncate);
    const double width = range.first == range.last ? 0.001 : range.last - range.first;
    scale_by_yarn(rope.inverse_frequencies, factor, range.first, width);
  }

  void scale_as_longrope(RopeSpec& rope, std::int64_t planned) const {
    const double original = original_context();
    const double factor = factor_or_ratio();
    const double attention = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
    rope.attention_factor =
        static_cast<float>(needed(number("attention_factor").value_or(attention), "attention_factor"));
    const auto short_factors = factors("short_factor", rope);
    const auto long_factors = factors("long_factor", rope);
    const auto& chosen = static_cast<double>(planned) > original ? long_factors : short_factors;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      rope.inverse_frequencies[i] = static_cast<float>(rope.inverse_frequencies[i] / chosen[i]);
    }
  }

  /// One for each frequency.
  std::vector<double> factors(const char* key, const RopeSpec& rope) const {
    const auto newer = newer_.numbers(key);
    const auto older = older_.numbers(key);
    if (newer && older && *newer != *older) {
      fail("{}: the rotary positions are described twice: '{}' differs between 'rope_parameters' and 'rope_scaling'",
           path_, key);
    }
    if (!newer && !older) fail("{}: '{}' of rotary scaling '{}' is missing", path_, key, type_);
    const std::vector<double>& values = newer ? *newer : *older;
    if (values.size() != rope.inverse_frequencies.size()) {
      fail("{}: '{}' of rotary scaling '{}' has {} numbers, it must have one for each of the {} frequencies", path_,
           key, type_, values.size(), rope.inverse_frequencies.size());
    }
    for (const double value : values) needed(value, key);
    return values;
  }

  /// By "NTK" scaling: a larger base, the longer the text.
  void scale_dynamically(RopeSpec& rope, double base, std::int64_t planned) const {
    const double factor = needed(factor_, "factor");
    const auto dim = static_cast<double>(rope.rotary_dim());
    if (dim <= 2) fail("{}: rotary scaling 'dynamic' needs more than 2 rotary channels", path_);
    const double length = std::max(static_cast<double>(planned), max_positions_);
    const double stretch = factor * length / max_positions_ - (factor - 1);
    rope.inverse_frequencies = rope_frequencies(rope.rotary_dim(), base * std::pow(stretch, dim / (dim - 2)));
  }

  std::string path_;
  const JsonConfig& newer_;
  const JsonConfig& older_;
  double max_positions_;
  std::string type_;
  std::optional<double> factor_, low_, high_, original_;
};

}  // namespace

RopeSpec JsonConfig::rope(std::int64_t head_dim, const RopeDefaults& defaults, const std::string& layer_type) const {
  const JsonConfig empty(nlohmann::json::object(), path_);
  const JsonConfig parameters = object("rope_parameters");
  const bool by_type = parameters.has("full_attention") || parameters.has("sliding_attention");
  if (by_type && layer_type.empty()) {
    fail("{}: 'rope_parameters' differs by type of layer, but the layers of this architecture are of one type", path_);
  }
  const JsonConfig newer = by_type ? parameters.object(layer_type) : defaults.scaled ? parameters : empty;
  const JsonConfig older = defaults.scaled ? object("rope_scaling") : empty;
  const char* const base_key = defaults.base_key.c_str();
  const double base =
      agreed_number(path_,
                    {{&newer, "rope_theta"}, {&older, "rope_theta"}, {this, base_key}, {this, "rotary_emb_base"}})
          .value_or(defaults.base);
  // transformers writes a share of 1 beside the one that counts (Phi-3).
  const auto inside = agreed_number(path_, {{&newer, "partial_rotary_factor"}, {&older, "partial_rotary_factor"}});
  const bool outside_is_default = inside && number("partial_rotary_factor").value_or(0) == 1;
  const double partial = outside_is_default ? *inside
                                            : agreed_number(path_, {{&newer, "partial_rotary_factor"},
                                                                    {&older, "partial_rotary_factor"},
                                                                    {this, "partial_rotary_factor"},
                                                                    {this, "rotary_pct"}})
                                                  .value_or(defaults.partial);
  if (!(partial > 0 && partial <= 1))
    fail("{}: the rotary share of a head is {}, it must be in (0, 1]", path_, partial);
  if (!(base > 1)) fail("{}: the rotary base is {}, it must be above 1", path_, base);
  const auto rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * partial);
  if (rotary_dim < 2 || rotary_dim % 2 != 0)
    fail("{}: {} rotary channels; an even number is needed", path_, rotary_dim);

  return Scaling(*this, newer, older, defaults).of(rotary_dim, base, planned_);
}

}  // namespace kvpress
