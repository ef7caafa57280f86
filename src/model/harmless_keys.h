// The keys of a config.json that do not change what a decoder computes.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace kvpress {

/// Whether results are right without this key: notes on training and saving, settings of generation and of other
/// tasks, and what must have a certain value and has it. Keys that begin with '_' are transformers' own notes.
bool is_harmless_config_key(std::string_view key, const nlohmann::json& value);

}  // namespace kvpress
