#include "kvpress/model/config.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <array>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/ops/rope.h"
#include "model/architecture.h"

namespace kvpress {
namespace {

std::vector<std::string_view> known_names() {
  std::vector<std::string_view> names;
  for (const Architecture* it : architectures()) names.push_back(it->model_type);
  return names;
}

}  // namespace

std::span<const Architecture* const> architectures() {
  static constexpr std::array<const Architecture*, 2> kAll = {&kGptNeox, &kLlama};
  return kAll;
}

const Architecture& architecture_by_model_type(std::string_view model_type, const std::string& path) {
  for (const Architecture* it : architectures()) {
    if (it->model_type == model_type) return *it;
  }
  fail("{}: architecture '{}' is not known; known: {}", path, model_type, fmt::join(known_names(), ", "));
}

const Architecture& architecture_by_gguf_name(std::string_view name, const std::string& path) {
  for (const Architecture* it : architectures()) {
    if (!it->gguf_name.empty() && it->gguf_name == name) return *it;
  }
  std::vector<std::string_view> known;
  for (const Architecture* it : architectures()) {
    if (!it->gguf_name.empty()) known.push_back(it->gguf_name);
  }
  fail("{}: architecture '{}' is not known in GGUF files; known: {}", path, name, fmt::join(known, ", "));
}

std::int64_t ModelConfig::n_parameters() const {
  const std::int64_t qkv_rows = (n_heads + 2 * n_kv_heads) * head_dim;
  const std::int64_t norm = rms_norm ? hidden_size : 2 * hidden_size;
  std::int64_t layer = 2 * norm + qkv_rows * hidden_size + n_heads * head_dim * hidden_size +
                       (gated ? 3 : 2) * intermediate_size * hidden_size;
  if (attention_bias) layer += qkv_rows + hidden_size;
  if (mlp_bias) layer += (gated ? 2 : 1) * intermediate_size + hidden_size;
  return n_layers * layer + norm + (tied_output ? 1 : 2) * vocab_size * hidden_size;
}

ModelConfig read_config(const ModelFiles& files) {
  if (files.gguf != nullptr) {
    const auto* name = files.gguf->get<std::string>("general.architecture");
    if (name == nullptr) fail("{}: metadata general.architecture is missing", files.path.string());
    return architecture_by_gguf_name(*name, files.path.string()).config_from_gguf(*files.gguf);
  }
  const std::string path = files.config_json.string();
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(read_file(files.config_json));
  } catch (const nlohmann::json::exception& error) {
    fail("{}: is not valid JSON: {}", path, error.what());
  }
  if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string()) {
    fail("{}: 'model_type' is missing; a transformers config.json is needed", path);
  }
  return architecture_by_model_type(json["model_type"].get<std::string>(), path).config_from_json(json, path);
}

ModelConfig named_shape(const std::string& name) {
  const auto pythia = [](std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
    ModelConfig config;
    config.architecture = "gpt_neox";
    config.n_layers = layers;
    config.hidden_size = hidden;
    config.n_heads = config.n_kv_heads = heads;
    config.head_dim = hidden / heads;
    config.intermediate_size = 4 * hidden;
    config.vocab_size = 50304;
    config.max_positions = 2048;
    config.parallel_residual = true;
    config.attention_bias = config.mlp_bias = true;
    config.activation = Activation::gelu_erf;
    config.rope_frequencies = rope_frequencies(config.head_dim / 4, 10000.0);
    return config;
  };
  if (name == "pythia-70m") return pythia(6, 512, 8);
  if (name == "pythia-160m") return pythia(12, 768, 12);
  if (name == "smollm2-135m") {
    ModelConfig config;
    config.architecture = "llama";
    config.n_layers = 30;
    config.hidden_size = 576;
    config.n_heads = 9;
    config.n_kv_heads = 3;
    config.head_dim = 64;
    config.intermediate_size = 1536;
    config.vocab_size = 49152;
    config.max_positions = 8192;
    config.rms_norm = config.gated = config.tied_output = true;
    config.activation = Activation::silu;
    config.rope_frequencies = rope_frequencies(64, 100000.0);
    return config;
  }
  fail_usage("shape '{}' is not known; known: pythia-70m, pythia-160m, smollm2-135m", name);
}

}  // namespace kvpress
