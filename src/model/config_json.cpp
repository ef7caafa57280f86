#include "model/config_json.h"

#include <cmath>
#include <limits>

#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"

namespace kvpress {

std::int64_t JsonConfig::size(const std::string& key) const {
  if (!has(key)) fail("{}: '{}' is missing", path_, key);
  const auto& value = json_.at(key);
  if (!value.is_number_integer()) fail("{}: '{}' is {}, it must be a whole number", path_, key, value.dump());
  const auto number = value.get<std::int64_t>();
  if (number < 1 || number > std::numeric_limits<std::int32_t>::max()) {
    fail("{}: '{}' is {}, it must be between 1 and 2147483647", path_, key, number);
  }
  return number;
}

double JsonConfig::number_or(const std::string& key, double fallback) const {
  if (!has(key)) return fallback;
  if (!json_.at(key).is_number()) fail("{}: '{}' is {}, it must be a number", path_, key, json_.at(key).dump());
  return json_.at(key).get<double>();
}

bool JsonConfig::flag_or(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!json_.at(key).is_boolean()) fail("{}: '{}' is {}, it must be true or false", path_, key, json_.at(key).dump());
  return json_.at(key).get<bool>();
}

std::string JsonConfig::text_or(const std::string& key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  if (!json_.at(key).is_string()) fail("{}: '{}' is {}, it must be a string", path_, key, json_.at(key).dump());
  return json_.at(key).get<std::string>();
}

JsonConfig JsonConfig::object(const std::string& key) const {
  if (!has(key)) return {nlohmann::json::object(), path_};
  if (!json_.at(key).is_object()) fail("{}: '{}' must be an object", path_, key);
  return {json_.at(key), path_};
}

std::vector<std::int32_t> JsonConfig::ids(const std::string& key) const {
  if (!has(key)) return {};
  const auto& value = json_.at(key);
  const auto list = value.is_array() ? value : nlohmann::json::array({value});
  std::vector<std::int32_t> ids;
  for (const auto& id : list) {
    if (!id.is_number_integer()) fail("{}: '{}' is {}, it must be an id or a list of ids", path_, key, value.dump());
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

Activation JsonConfig::activation(const std::string& key, const std::string& fallback) const {
  const std::string name = text_or(key, fallback);
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  fail("{}: '{}' is '{}'; known: gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu", path_, key, name);
}

std::vector<float> JsonConfig::rope(std::int64_t head_dim, double default_partial) const {
  const JsonConfig newer = object("rope_parameters");
  const JsonConfig scaling = has("rope_parameters") ? newer : object("rope_scaling");
  const double base = newer.number_or("rope_theta", number_or("rope_theta", number_or("rotary_emb_base", 10000.0)));
  const double partial = newer.number_or("partial_rotary_factor",
                                         number_or("partial_rotary_factor", number_or("rotary_pct", default_partial)));
  if (!(partial > 0 && partial <= 1))
    fail("{}: the rotary share of a head is {}, it must be in (0, 1]", path_, partial);
  if (!(base > 1)) fail("{}: the rotary base is {}, it must be above 1", path_, base);
  const auto rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * partial);
  if (rotary_dim < 2 || rotary_dim % 2 != 0)
    fail("{}: {} rotary channels; an even number is needed", path_, rotary_dim);

  std::vector<float> frequencies = rope_frequencies(rotary_dim, base);
  const std::string type = scaling.text_or("rope_type", scaling.text_or("type", "default"));
  if (type == "linear") {
    const double factor = scaling.number_or("factor", 1.0);
    for (float& frequency : frequencies) frequency = static_cast<float>(frequency / factor);
  } else if (type == "llama3") {
    Llama3Scaling llama3;
    llama3.factor = scaling.number_or("factor", llama3.factor);
    llama3.low_frequency_factor = scaling.number_or("low_freq_factor", llama3.low_frequency_factor);
    llama3.high_frequency_factor = scaling.number_or("high_freq_factor", llama3.high_frequency_factor);
    llama3.original_context = scaling.number_or("original_max_position_embeddings", llama3.original_context);
    scale_frequencies(frequencies, llama3);
  } else if (type != "default") {
    fail("{}: rotary scaling '{}' is not supported; known: default, linear, llama3", path_, type);
  }
  return frequencies;
}

void check_config(const ModelConfig& config, const std::string& path) {
  if (config.n_heads % config.n_kv_heads != 0) {
    fail("{}: {} query heads cannot share {} KV heads evenly", path, config.n_heads, config.n_kv_heads);
  }
  if (config.head_dim % 2 != 0) fail("{}: heads of {} channels; an even number is needed", path, config.head_dim);
  for (const LayerSpec& it : config.layers) {
    if (it.rope.rotary_dim() > config.head_dim) {
      fail("{}: {} rotary channels in heads of {}", path, it.rope.rotary_dim(), config.head_dim);
    }
    if (!(it.norm_eps > 0)) fail("{}: the norm's epsilon is {}, it must be above 0", path, it.norm_eps);
  }
}

}  // namespace kvpress
