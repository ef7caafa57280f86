#include "kvpress/model/config.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/formats/model_files.h"
#include "model/architecture.h"
#include "model/config_json.h"

namespace kvpress {
namespace {

std::vector<std::string_view> known_names() {
  std::vector<std::string_view> names;
  for (const Architecture* it : architectures()) names.push_back(it->model_type);
  return names;
}

}  // namespace

std::span<const Architecture* const> architectures() {
  static constexpr std::array kAll = {&kGemma2,    &kGemma3,     &kGemma3Text, &kGpt2,     &kGptNeox, &kGptOss, &kLlama,
                                      &kMinistral, &kMinistral3, &kMistral,    &kMistral3, &kMixtral, &kOlmo2,  &kOpt,
                                      &kPhi3,      &kQwen2,      &kQwen3,      &kQwen3Moe, &kSmolLm3};
  return kAll;
}

const Architecture& architecture_by_model_type(std::string_view model_type, const std::string& path) {
  for (const Architecture* it : architectures()) {
    if (it->model_type == model_type) return *it;
  }
  fail("{}: architecture '{}' is not known; known: {}", path, printable(model_type), fmt::join(known_names(), ", "));
}

const Architecture& architecture_by_gguf_name(std::string_view name, const std::string& path) {
  for (const Architecture* it : architectures()) {
    if (!it->gguf_name.empty() && it->gguf_name == name) return *it;
  }
  std::vector<std::string_view> known;
  for (const Architecture* it : architectures()) {
    if (!it->gguf_name.empty()) known.push_back(it->gguf_name);
  }
  fail("{}: architecture '{}' is not known in GGUF files; known: {}", path, printable(name), fmt::join(known, ", "));
}

void ModelConfig::set_layers(std::int64_t n, const LayerSpec& each) {
  n_layers = n;
  layers.assign(static_cast<std::size_t>(n), each);
}

float ModelConfig::attention_scale(std::int64_t l) const {
  const float scale = layer(l).attention_scale;
  return scale > 0 ? scale : 1.0f / std::sqrt(static_cast<float>(head_dim));
}

bool ModelConfig::has_rope() const {
  return std::any_of(layers.begin(), layers.end(), [](const LayerSpec& it) { return it.rope.rotary_dim() > 0; });
}

bool ModelConfig::has_windows() const {
  return std::any_of(layers.begin(), layers.end(), [](const LayerSpec& it) { return it.window > 0; });
}

LayerRopes ModelConfig::ropes() const {
  std::vector<std::vector<float>> frequencies;
  for (const LayerSpec& it : layers) frequencies.push_back(it.rope.inverse_frequencies);
  return LayerRopes(frequencies);
}

std::int64_t ModelConfig::n_parameters() const {
  const auto norm = [](NormKind kind, std::int64_t n) { return kind == NormKind::layer_norm ? 2 * n : n; };
  const auto bias = [](bool there, std::int64_t n) { return there ? n : 0; };
  const std::int64_t q = n_heads * head_dim;
  const std::int64_t kv = n_kv_heads * head_dim;
  std::int64_t sum = norm(final_norm, hidden_size) + (tied_output ? 1 : 2) * vocab_size * hidden_size;
  sum += learned_positions * hidden_size;
  for (const LayerSpec& it : layers) {
    const std::int64_t inner = (it.gated ? 2 : 1) * it.intermediate_size;
    const bool routed = it.feed_forward == FeedForwardKind::experts;
    sum += (it.norm_place == NormPlace::both ? 4 : 2) * norm(it.norm, hidden_size);
    if (it.query_norm) sum += norm(*it.query_norm, it.norms_heads_together ? q : head_dim);
    if (it.key_norm) sum += norm(*it.key_norm, it.norms_heads_together ? kv : head_dim);
    if (it.attention_sinks) sum += n_heads;
    sum += (2 * q + 2 * kv) * hidden_size;
    sum += bias(it.biases.query, q) + bias(it.biases.key, kv) + bias(it.biases.value, kv) +
           bias(it.biases.attention_out, hidden_size);
    if (routed) sum += experts.n * hidden_size + bias(experts.router_bias, experts.n);
    sum += (routed ? experts.n : 1) * ((inner + it.intermediate_size) * hidden_size + bias(it.biases.mlp_in, inner) +
                                       bias(it.biases.mlp_out, hidden_size));
  }
  return sum;
}

void check_supported(const ModelConfig& config, const std::string& path) {
  const auto refuse_if = [&](bool there, std::string_view what) {
    if (there) fail("{}: {} not supported", path, what);
  };
  refuse_if(std::ssize(config.layers) != config.n_layers, "a number of layers other than the layers described is");
  for (const LayerSpec& it : config.layers) {
    refuse_if(it.gated && it.activation == Activation::none, "a gate without an activation is");
    refuse_if(it.window < 0, "a negative window is");
    refuse_if(it.query_growth.beta != 0 && it.query_growth.context < 1, "growth of queries without a context is");
    const ExpertSpec& experts = config.experts;
    if (it.feed_forward == FeedForwardKind::experts && (experts.n_used < 1 || experts.n_used > experts.n)) {
      fail("{}: {} experts are chosen for each token, of {}; at least 1 and at most all can be", path, experts.n_used,
           experts.n);
    }
  }
}

namespace {

nlohmann::json read_json_object(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  refuse_lfs_pointer(text, path.string());
  nlohmann::json json = parse_json(text, path.string());
  if (!json.is_object()) fail("{}: is not a JSON object", path.string());
  return json;
}

/// The tokens that end what the model writes: transformers takes those of generation_config.json, where there is one.
void read_end_tokens(const JsonConfig& config, ModelConfig& to) {
  to.eos_ids = config.ids("eos_token_id");
  const std::filesystem::path path = std::filesystem::path(config.path()).parent_path() / "generation_config.json";
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return;
  const JsonConfig generation(read_json_object(path), path.string());
  if (generation.has("eos_token_id")) to.eos_ids = generation.ids("eos_token_id");
}

ModelConfig read_any_config(const ModelFiles& files, std::int64_t planned) {
  if (files.gguf != nullptr) {
    const auto* name = files.gguf->get<std::string>("general.architecture");
    if (name == nullptr) fail("{}: metadata general.architecture is missing", files.path.string());
    return architecture_by_gguf_name(*name, files.path.string()).config_from_gguf(*files.gguf, planned);
  }
  const std::string path = files.config_json.string();
  const JsonConfig from(read_json_object(files.config_json), path, planned);
  const auto model_type = from.text("model_type");
  if (!model_type) fail("{}: 'model_type' is missing; a transformers config.json is needed", path);
  ModelConfig config = architecture_by_model_type(*model_type, path).config_from_json(from);
  read_end_tokens(from, config);
  from.refuse_unread();
  return config;
}

}  // namespace

ModelConfig read_config(const ModelFiles& files, std::int64_t planned) {
  ModelConfig config = read_any_config(files, planned);
  check_supported(config, files.gguf != nullptr ? files.path.string() : files.config_json.string());
  return config;
}

}  // namespace kvpress
