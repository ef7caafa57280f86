// The rotary positions that a GGUF's metadata and tensors describe, by llama.cpp's rules.
#pragma once

#include <cstdint>
#include <string_view>

#include "kvpress/model/layer_spec.h"
#include "model/config_gguf.h"

namespace kvpress {

/// `planned`: as read_config() has it. `yarn_truncates`: YaRN's range of frequencies begins and ends at whole ones.
/// Throws Error naming file and key.
RopeSpec gguf_rope(GgufConfig& from, std::int64_t head_dim, std::int64_t planned, bool yarn_truncates = true);

/// Whether gguf_rope() reads the tensor.
bool is_rope_tensor(std::string_view name);

}  // namespace kvpress
