// What a tokenizer is made of, whatever file it came from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/formats/gguf.h"
#include "kvpress/tokenizer/added_tokens.h"
#include "kvpress/tokenizer/bpe.h"
#include "kvpress/tokenizer/pre_tokenizer.h"
#include "kvpress/tokenizer/vocabulary.h"

namespace kvpress {

struct TokenizerParts {
  Vocabulary vocabulary;
  BytePairEncoder encoder;
  bool ignore_merges = false;  ///< a word that is a token is that token, whatever its merges say
  bool nfc = false;
  std::vector<PreTokenizerStep> steps;
  std::vector<AddedToken> added_tokens;  ///< special or not; their ids may be the vocabulary's
  std::optional<std::int32_t> eos_id;
  std::string pre_tokenizer_name;  ///< for people
};

/// Both throw Error naming the file and the part of the pipeline that is not known.
TokenizerParts read_tokenizer_json(const std::filesystem::path& path);
TokenizerParts read_tokenizer_gguf(const GgufFile& file);

/// Fills the encoder's bytes from the vocabulary.
void set_bytes(TokenizerParts& parts);

/// Adds the merge of `left` and `right`, by which the vocabulary has all three tokens. Throws Error, beginning with
/// `path`, when it does not.
class MergeReader {
 public:
  MergeReader(TokenizerParts& parts, std::string path) : parts_(parts), path_(std::move(path)) {}
  void add(std::string_view left, std::string_view right);
  /// "left right", as both formats may write it.
  void add(std::string_view line);

 private:
  std::int32_t id_of(std::string_view token) const;

  TokenizerParts& parts_;
  std::string path_;
  std::string joined_;
  std::int32_t rank_ = 0;
};

}  // namespace kvpress
