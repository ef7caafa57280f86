// The special tokens that the files beside a tokenizer.json name: tokenizer_config.json, special_tokens_map.json and
// added_tokens.json, as transformers 5 (TokenizersBackend) reads them.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/parts.h"

namespace kvpress {

/// Adds to `parts` the tokens that the files in `folder` name, and its bos, eos and split_special_tokens.
/// `of_tokenizer_json` are the added_tokens of tokenizer.json, in its order, which are in `parts` already, with the ids
/// that the file states. `padding_token` is that of its padding; empty: none. Files that are not there are skipped.
/// Throws Error with file and key.
struct StatedToken {
  std::int64_t id;
  AddedToken token;
};
void read_special_tokens(const std::filesystem::path& folder, const std::vector<StatedToken>& of_tokenizer_json,
                         const std::string& padding_token, TokenizerParts& parts);

/// A token of {"content": ..., "special": ...}. Throws Error with `path` and `of`.
AddedToken read_added_token(const nlohmann::json& json, const std::string& path, const std::string& of);

}  // namespace kvpress
