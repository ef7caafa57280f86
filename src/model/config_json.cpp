#include "model/config_json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>

#include "base/json_text.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "model/harmless_keys.h"

namespace kvpress {

struct JsonConfig::State {
  nlohmann::json json;
  std::set<std::string> read;
  std::map<std::string, JsonConfig> objects;
};

JsonConfig::JsonConfig(nlohmann::json json, std::string path, std::string prefix, std::int64_t planned)
    : state_(std::make_shared<State>()), path_(std::move(path)), prefix_(std::move(prefix)), planned_(planned) {
  state_->json = std::move(json);
}

const nlohmann::json* JsonConfig::find(const std::string& key) const {
  state_->read.insert(key);
  const auto it = state_->json.find(key);
  return it == state_->json.end() || it->is_null() ? nullptr : &*it;
}

bool JsonConfig::is_null(const std::string& key) const {
  const auto it = state_->json.find(key);
  return it != state_->json.end() && it->is_null();
}

void JsonConfig::refuse(const std::string& key, const nlohmann::json& value, std::string_view wanted) const {
  fail("{}: '{}{}' is {}, it must be {}", path_, prefix_, key, brief(value), wanted);
}

std::int64_t JsonConfig::size(const std::string& key, std::int64_t most) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) fail("{}: '{}{}' is missing", path_, prefix_, key);
  if (!value->is_number_integer()) refuse(key, *value, "a whole number");
  const bool fits = !value->is_number_unsigned() || value->get<std::uint64_t>() <= static_cast<std::uint64_t>(most);
  if (!fits || value->get<std::int64_t>() < 1) refuse(key, *value, fmt::format("between 1 and {}", most));
  return value->get<std::int64_t>();
}

std::int64_t JsonConfig::size_or(const std::string& key, std::int64_t fallback, std::int64_t most) const {
  return has(key) ? size(key, most) : fallback;
}

std::optional<double> JsonConfig::number(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) refuse(key, *value, "a number");
  const auto number = value->get<double>();
  if (!std::isfinite(number)) fail("{}: '{}{}' is {}, it must be finite", path_, prefix_, key, number);
  return number;
}

bool JsonConfig::flag_or(const std::string& key, bool fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(key, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonConfig::text(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse(key, *value, "a string");
  return value->get<std::string>();
}

JsonConfig JsonConfig::object(const std::string& key) const {
  if (const auto it = state_->objects.find(key); it != state_->objects.end()) return it->second;
  const nlohmann::json* value = find(key);
  if (value != nullptr && !value->is_object()) refuse(key, *value, "an object");
  JsonConfig object(value == nullptr ? nlohmann::json::object() : *value, path_, prefix_ + key + ".", planned_);
  state_->objects.emplace(key, object);
  return object;
}

std::vector<std::int32_t> JsonConfig::ids(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return {};
  std::vector<std::int32_t> ids;
  const auto take = [&](const nlohmann::json& id) {
    if (!id.is_number_integer()) refuse(key, *value, "an id or a list of ids");
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    if (id.is_number_unsigned() && id.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost)) {
      fail("{}: '{}{}' holds {}, an id is at most {}", path_, prefix_, key, brief(id), kMost);
    }
    if (id.get<std::int64_t>() >= 0) ids.push_back(id.get<std::int32_t>());
  };
  if (value->is_array()) {
    for (const auto& id : *value) take(id);
  } else {
    take(*value);
  }
  return ids;
}

std::int64_t JsonConfig::count_or(const std::string& key, std::int64_t fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer() || value->get<double>() < 0 || value->get<double>() > static_cast<double>(kMaxSize)) {
    refuse(key, *value, fmt::format("a whole number from 0 to {}", kMaxSize));
  }
  return value->get<std::int64_t>();
}

double JsonConfig::positive_or(const std::string& key, double fallback) const {
  const double value = number_or(key, fallback);
  if (!(value > 0)) fail("{}: '{}{}' is {}, it must be above 0", path_, prefix_, key, value);
  return value;
}

float JsonConfig::cap(const std::string& key, double fallback) const {
  if (is_null(key)) return 0.0f;
  const double value = number_or(key, fallback);
  if (value < 0) fail("{}: '{}{}' is {}, it must be above 0, or null", path_, prefix_, key, value);
  return static_cast<float>(value);
}

void JsonConfig::fail_key(const std::string& key, std::string_view wanted) const {
  const nlohmann::json* value = find(key);
  refuse(key, value == nullptr ? nlohmann::json() : *value, wanted);
}

std::optional<std::vector<std::string>> JsonConfig::texts(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) refuse(key, *value, "a list of strings");
  std::vector<std::string> result;
  for (const auto& it : *value) {
    if (!it.is_string()) refuse(key, *value, "a list of strings");
    result.push_back(it.get<std::string>());
  }
  return result;
}

std::optional<std::vector<std::int64_t>> JsonConfig::counts(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) refuse(key, *value, "a list of whole numbers");
  std::vector<std::int64_t> result;
  for (const auto& it : *value) {
    if (!it.is_number_integer() || it.get<double>() < 0 || it.get<double>() > static_cast<double>(kMaxVocabulary)) {
      refuse(key, *value, "a list of whole numbers");
    }
    result.push_back(it.get<std::int64_t>());
  }
  return result;
}

std::optional<std::vector<double>> JsonConfig::numbers(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) refuse(key, *value, "a list of numbers");
  std::vector<double> numbers;
  for (const auto& it : *value) {
    if (!it.is_number()) refuse(key, *value, "a list of numbers");
    numbers.push_back(it.get<double>());
    if (!std::isfinite(numbers.back()))
      fail("{}: '{}{}' holds {}, it must be finite", path_, prefix_, key, numbers.back());
  }
  return numbers;
}

Activation JsonConfig::activation(const std::string& key, const std::string& fallback) const {
  const std::string name = text_or(key, fallback);
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  fail("{}: '{}' is '{}'; known: gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu", path_, key,
       printable(name));
}

void JsonConfig::refuse_unread() const {
  for (const auto& [key, value] : state_->json.items()) {
    if (value.is_null() || state_->read.contains(key)) continue;
    if ((prefix_.empty() || prefix_ == "text_config.") && is_harmless_config_key(key, value)) continue;
    if (key == "quantization_config") {
      const bool named = value.is_object() && value.contains("quant_method");
      fail("{}: 'quantization_config': weights quantized {} are not supported; use weights in float or a GGUF", path_,
           named ? "by " + brief(value["quant_method"]) : "this way");
    }
    fail("{}: '{}{}' is not known here; results without it could be wrong", path_, prefix_, printable(key));
  }
  for (const auto& [key, object] : state_->objects) object.refuse_unread();
}

void check_config(const ModelConfig& config, const std::string& path) {
  if (config.n_heads % config.n_kv_heads != 0) {
    fail("{}: {} query heads cannot share {} KV heads evenly", path, config.n_heads, config.n_kv_heads);
  }
  if (config.head_dim % 2 != 0) fail("{}: heads of {} channels; an even number is needed", path, config.head_dim);
  if (config.n_heads * config.head_dim > kMaxSize) {
    fail("{}: {} heads of {} channels are more than the {} supported", path, config.n_heads, config.head_dim, kMaxSize);
  }
  if (!(config.final_norm_eps > 0) || !std::isfinite(config.final_norm_eps)) {
    fail("{}: the last norm's epsilon is {}, it must be above 0", path, config.final_norm_eps);
  }
  for (const LayerSpec& it : config.layers) {
    if (it.rope.rotary_dim() > config.head_dim) {
      fail("{}: {} rotary channels in heads of {}", path, it.rope.rotary_dim(), config.head_dim);
    }
    if (!(it.norm_eps > 0) || !std::isfinite(it.norm_eps)) {
      fail("{}: the norm's epsilon is {}, it must be above 0", path, it.norm_eps);
    }
    const auto& turns = it.rope.inverse_frequencies;
    const auto is_usable = [](float frequency) { return std::isfinite(frequency) && frequency >= 0; };
    if (!std::all_of(turns.begin(), turns.end(), is_usable)) {
      fail("{}: its rotary positions are scaled to frequencies that are not finite", path);
    }
    if (!(it.rope.attention_factor > 0) || !std::isfinite(it.rope.attention_factor)) {
      fail("{}: the attention factor of its rotary positions is {}, it must be above 0", path,
           it.rope.attention_factor);
    }
  }
}

}  // namespace kvpress
