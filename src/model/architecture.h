// One architecture = one file that reads its configuration and its weights into the shared decoder's terms. To add one:
// write src/model/<name>.cpp beside llama.cpp and name it in architectures().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kvpress/formats/gguf.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"
#include "model/config_json.h"

namespace kvpress {

struct Architecture {
  std::string_view model_type;  ///< transformers' name, in config.json
  std::string_view gguf_name;   ///< llama.cpp's name, in general.architecture; empty: not read from GGUF
  /// Reads what it knows; the caller refuses what was not read.
  ModelConfig (*config_from_json)(const JsonConfig& from);
  /// `planned`: as read_config() has it.
  ModelConfig (*config_from_gguf)(const GgufFile& file, std::int64_t planned);
  DecoderWeights (*weights)(const ModelConfig& config, const TensorFile& file, bool is_gguf, const Numerics& numerics);
};

extern const Architecture kGptNeox;
extern const Architecture kLlama;
extern const Architecture kMistral;

std::span<const Architecture* const> architectures();

/// The one named in a config.json or GGUF; throws Error naming the file and the architectures known.
const Architecture& architecture_by_model_type(std::string_view model_type, const std::string& path);
const Architecture& architecture_by_gguf_name(std::string_view name, const std::string& path);

}  // namespace kvpress
