// Ministral 3, the part that reads text, as transformers saves it: Mistral with YaRN, and queries that grow with their
// position beyond YaRN's original context.
#include "model/ministral3.h"

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"

namespace kvpress {
namespace {

/// Of 'rope_parameters', or of 'rope_scaling' in files that have it there.
QueryGrowth query_growth(const JsonConfig& from) {
  const char* const place = from.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const JsonConfig rope = from.object(place);
  const auto beta = rope.number("llama_4_scaling_beta");
  if (!beta) fail("{}: '{}.llama_4_scaling_beta' is missing", from.path(), place);
  if (*beta < 0) rope.fail_key("llama_4_scaling_beta", "at least 0");
  rope.size_or("max_position_embeddings", 1, kMaxVocabulary);  // noted beside; changes nothing
  return {static_cast<float>(*beta), rope.size("original_max_position_embeddings", kMaxVocabulary)};
}

ModelConfig config_from_json(const JsonConfig& from) { return ministral3_from_json(from, kMinistral3.model_type); }

}  // namespace

ModelConfig ministral3_from_json(const JsonConfig& from, std::string_view architecture) {
  ModelConfig config = decoder_from_json(
      from, architecture, llama_layer(),
      {.n_kv_heads = 8, .head_dim = 128, .max_positions = 262144, .norm_eps = 1e-5, .rope_base = 1e6});
  const QueryGrowth growth = query_growth(from);
  for (LayerSpec& it : config.layers) it.query_growth = growth;
  read_windows(from, config, 4096, [&](std::int64_t) { return from.has("sliding_window"); });
  return config;
}

const Architecture kMinistral3 = {"ministral3", "", config_from_json, nullptr, transformers_names(), {}};

}  // namespace kvpress
