// The parts of a tokenizer, independent of the file format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/formats/gguf.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace kvpress {

struct TokenizerParts {
  Vocabulary vocabulary;
  BytePairEncoder encoder;
  bool ignore_merges = false;  ///< a word that is a token is not split by merges
  bool nfc = false;
  std::vector<PreTokenizerStep> steps;
  std::vector<AddedToken> added_tokens;  ///< special or not; their ids may also be in the vocabulary
  std::optional<std::int32_t> eos_id;
  std::string pre_tokenizer_name;  ///< for descriptions
};

/// Both throw Error with the file and the part of the pipeline that is not supported.
TokenizerParts read_tokenizer_json(const std::filesystem::path& path);
TokenizerParts read_tokenizer_gguf(const GgufFile& file);

/// Sets the byte ids of the encoder from the vocabulary.
void set_bytes(TokenizerParts& parts);

/// Adds merges to the encoder. Throws Error that begins with `path` if a token of a merge or its result is not in the
/// vocabulary.
class MergeReader {
 public:
  MergeReader(TokenizerParts& parts, std::string path) : parts_(parts), path_(std::move(path)) {}
  void add(std::string_view left, std::string_view right);
  /// "left right", the notation of both formats.
  void add(std::string_view line);

 private:
  std::int32_t id_of(std::string_view token) const;

  TokenizerParts& parts_;
  std::string path_;
  std::string joined_;
  std::int32_t rank_ = 0;
};

}  // namespace kvpress
