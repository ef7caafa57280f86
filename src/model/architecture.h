// One architecture = one file that reads its configuration and its weights into the shared decoder's terms. To add one:
// write src/model/<name>.cpp beside llama.cpp, name it below and in architectures().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kvpress/formats/gguf.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"
#include "model/config_json.h"
#include "model/decoder_weights.h"

namespace kvpress {

struct Architecture {
  std::string_view model_type;  ///< transformers' name, in config.json
  std::string_view gguf_name;   ///< llama.cpp's name, in general.architecture; empty: not read from GGUF
  /// Reads what it knows; the caller refuses what was not read.
  ModelConfig (*config_from_json)(const JsonConfig& from);
  /// `planned`: as read_config() has it.
  ModelConfig (*config_from_gguf)(const GgufFile& file, std::int64_t planned);
  TensorNames names;       ///< of transformers' files
  TensorNames gguf_names;  ///< of a GGUF's
};

extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGemma3Text;
extern const Architecture kGpt2;
extern const Architecture kGptNeox;
extern const Architecture kGptOss;
extern const Architecture kLlama;
extern const Architecture kMinistral;
extern const Architecture kMinistral3;
extern const Architecture kMistral;
extern const Architecture kMistral3;
extern const Architecture kMixtral;
extern const Architecture kOlmo2;
extern const Architecture kOpt;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kSmolLm3;

std::span<const Architecture* const> architectures();

/// The one named in a config.json or GGUF; throws Error naming the file and the architectures known.
const Architecture& architecture_by_model_type(std::string_view model_type, const std::string& path);
const Architecture& architecture_by_gguf_name(std::string_view name, const std::string& path);

}  // namespace kvpress
