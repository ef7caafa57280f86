// Parses a tokenizer.json as a stream: vocabulary and merges, which are most of the file, go directly into arrays; the
// rest becomes a small document.
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

  /// All strings of the vocabulary, concatenated. Each is stored by its end and begins at the end of the previous one.
  std::string text;
  struct Token {
    std::size_t end;
    std::int64_t id;
  };
  std::vector<Token> tokens;
  /// Of a vocabulary that is a list of tokens and scores (Unigram): the scores, by id.
  bool has_scores = false;
  std::vector<double> scores;

  std::string merge_text;
  std::vector<std::size_t> merge_ends;  ///< ends in merge_text: one line per merge, or two strings if merges_are_pairs
  bool merges_are_pairs = false;
};

/// Throws Error that begins with `path` if the text is not valid JSON or if vocabulary or merges are malformed.
TokenizerDocument parse_tokenizer_document(std::string_view json, const std::string& path);

}  // namespace kvpress
