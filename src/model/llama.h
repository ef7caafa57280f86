// Llama's configuration and weights, for architectures that are Llama but for a trait or two.
#pragma once

#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/config.h"
#include "kvpress/model/weights.h"
#include "model/config_json.h"

namespace kvpress {

/// As Architecture's readers of config.json and of weights: what the layers of the configuration say, by Llama's names.
ModelConfig llama_config_from_json(const JsonConfig& from);
DecoderWeights llama_weights(const ModelConfig& config, const TensorFile& file, bool is_gguf, const Numerics& numerics);

}  // namespace kvpress
