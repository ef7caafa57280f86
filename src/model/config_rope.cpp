// The rotary positions that a config.json describes, in any of the places where transformers has them.
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"
#include "model/config_json.h"

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

double needed(const std::string& path, std::optional<double> value, const char* key, const std::string& type) {
  if (!value) fail("{}: '{}' of rotary scaling '{}' is missing", path, key, type);
  if (!(*value > 0)) fail("{}: '{}' of rotary scaling '{}' is {}, it must be above 0", path, key, type, *value);
  return *value;
}

}  // namespace

RopeSpec JsonConfig::rope(std::int64_t head_dim, const RopeDefaults& defaults, const std::string& layer_type) const {
  const JsonConfig empty(nlohmann::json::object(), path_);
  const JsonConfig parameters = object("rope_parameters");
  const bool by_type = parameters.has("full_attention") || parameters.has("sliding_attention");
  const JsonConfig newer = by_type           ? (layer_type.empty() ? parameters : parameters.object(layer_type))
                           : defaults.scaled ? parameters
                                             : empty;
  const JsonConfig older = defaults.scaled ? object("rope_scaling") : empty;
  const auto in_objects = [&](const char* key) { return agreed_number(path_, {{&newer, key}, {&older, key}}); };
  const char* const base_key = defaults.base_key.c_str();
  const double base =
      agreed_number(path_,
                    {{&newer, "rope_theta"}, {&older, "rope_theta"}, {this, base_key}, {this, "rotary_emb_base"}})
          .value_or(defaults.base);
  const double partial = agreed_number(path_, {{&newer, "partial_rotary_factor"},
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

  const std::string type =
      agreed<std::string>(path_, {{&newer, "rope_type"}, {&newer, "type"}, {&older, "rope_type"}, {&older, "type"}},
                          [](const JsonConfig& from, const char* key) { return from.text(key); })
          .value_or("default");
  const auto factor = in_objects("factor");
  const auto low = in_objects("low_freq_factor");
  const auto high = in_objects("high_freq_factor");
  constexpr const char* kOriginal = "original_max_position_embeddings";
  const auto original = agreed_number(path_, {{&newer, kOriginal}, {&older, kOriginal}, {this, kOriginal}});
  std::vector<float> frequencies = rope_frequencies(rotary_dim, base);
  if (type == "linear") {
    const double by = needed(path_, factor, "factor", type);
    for (float& frequency : frequencies) frequency = static_cast<float>(frequency / by);
  } else if (type == "llama3") {
    Llama3Scaling llama3;
    llama3.factor = needed(path_, factor, "factor", type);
    llama3.low_frequency_factor = needed(path_, low, "low_freq_factor", type);
    llama3.high_frequency_factor = needed(path_, high, "high_freq_factor", type);
    llama3.original_context =
        needed(path_, original.value_or(static_cast<double>(defaults.max_positions)), kOriginal, type);
    if (llama3.low_frequency_factor == llama3.high_frequency_factor) {
      fail("{}: 'low_freq_factor' and 'high_freq_factor' are both {}, they must differ", path_,
           llama3.low_frequency_factor);
    }
    scale_frequencies(frequencies, llama3);
  } else if (type != "default") {
    fail("{}: rotary scaling '{}' is not supported; known: default, linear, llama3", path_, printable(type));
  } else if (factor && *factor != 1) {
    fail("{}: rotary scaling has a 'factor' of {}, but no 'rope_type' that uses it", path_, *factor);
  }
  return {frequencies, 1.0f};
}

}  // namespace kvpress
