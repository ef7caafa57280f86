// The tokens by which a model ends what it writes, of a GGUF: those that llama.cpp takes for its end of generation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kvpress/formats/gguf.h"

namespace kvpress {

/// In ascending order: tokenizer.ggml.eos_token_id, eot_token_id and eom_token_id, and tokens whose text says so. An id
/// that is no token is left out with a warning. Empty if the file has no tokens.
std::vector<std::int32_t> gguf_end_tokens(const GgufFile& file);

/// Whether llama.cpp takes a token with this text for a control token, whatever kind the file says it is.
bool is_control_text(std::string_view text);
/// Whether it takes it for a user-defined one.
bool is_user_text(std::string_view text);

/// The id under a key; empty if there is no such key or, with a warning, if it is no token.
std::optional<std::int32_t> gguf_token_id(const GgufFile& file, std::string_view key, std::size_t n_tokens);

}  // namespace kvpress
