// Mistral Small 3.1 and Ministral 3: of the models that also see pictures, what reads text, a Mistral or Ministral 3;
// llama.cpp has its own name for their GGUFs.
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/decoder_config.h"
#include "model/ministral3.h"

namespace kvpress {
namespace {

ModelConfig config_from_json(const JsonConfig& from) {
  for (const char* key : {"vision_config", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
                          "spatial_merge_size", "vision_feature_layer", "tie_word_embeddings"}) {
    from.has(key);
  }
  if (!from.has("text_config")) fail("{}: 'text_config' is missing", from.path());
  const JsonConfig text = from.object("text_config");
  const std::string type = text.text_or("model_type", "mistral");
  if (type == kMinistral3.model_type) return ministral3_from_json(text, kMistral3.model_type);
  if (type != "mistral") {
    fail("{}: 'text_config.model_type' is '{}'; known: mistral, ministral3", from.path(), printable(type));
  }
  ModelConfig config =
      decoder_from_json(text, kMistral3.model_type, llama_layer(), {.n_kv_heads = 8, .max_positions = 4096 * 32});
  read_windows(text, config, 4096, [](std::int64_t) { return true; });
  return config;
}

/// Absent where queries do not grow. The context is that of YaRN.
QueryGrowth query_growth(GgufConfig& from, const ModelConfig& config) {
  const double beta = from.number("attention.temperature_scale").value_or(0);
  if (beta == 0) return {};
  if (beta < 0) {
    fail("{}: metadata {} is {}, it must be at least 0", from.path(), from.full("attention.temperature_scale"), beta);
  }
  return {static_cast<float>(beta),
          from.size_or("rope.scaling.original_context_length", kMaxVocabulary, config.max_positions)};
}

ModelConfig config_from_gguf(const GgufFile& file, std::int64_t planned) {
  GgufConfig from(file, kMistral3.gguf_name);
  ModelConfig config = decoder_from_gguf(from, kMistral3.model_type, llama_layer(), planned);
  const QueryGrowth growth = query_growth(from, config);
  for (LayerSpec& it : config.layers) it.query_growth = growth;
  require_whole_heads_turn(from, config);
  finish_gguf(from, config);
  return config;
}

constexpr TensorNames mistral3_names() {
  TensorNames names = transformers_names();
  names.renamed = text_part_name;
  names.is_buffer = is_picture_part;
  return names;
}

constexpr TensorNames mistral3_gguf_names() {
  TensorNames names = gguf_names();
  names.neighbours_turn = true;
  return names;
}

}  // namespace

const Architecture kMistral3 = {"mistral3",       "mistral3",       config_from_json,
                                config_from_gguf, mistral3_names(), mistral3_gguf_names()};

}  // namespace kvpress
