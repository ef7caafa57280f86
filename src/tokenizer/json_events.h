// Reading a tokenizer.json as a stream: its vocabulary and merges, which are nearly all of it, go straight into arrays;
// what is left makes a small document.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

struct TokenizerDocument {
  nlohmann::json rest;  ///< without model.vocab and model.merges
  bool has_vocabulary = false, has_merges = false;

  /// All strings, one after another; a place is the end of one, which begins where the one before it ends.
  std::string text;
  struct Token {
    std::size_t end;
    std::int64_t id;
  };
  std::vector<Token> tokens;

  std::string merge_text;
  std::vector<std::size_t> merge_ends;  ///< a line a merge, or two strings a merge:
  bool merges_are_pairs = false;
};

/// Throws Error, beginning with `path`, for what is not JSON or where the vocabulary or merges are not what they
/// should.
TokenizerDocument parse_tokenizer_document(std::string_view json, const std::string& path);

}  // namespace kvpress
