// Ministral 3's configuration, which its multimodal models have as a part.
#pragma once

#include <cstdint>
#include <string_view>

#include "kvpress/model/config.h"
#include "model/config_json.h"

namespace kvpress {

ModelConfig ministral3_from_json(const JsonConfig& from, std::string_view architecture);

}  // namespace kvpress
