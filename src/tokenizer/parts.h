// The parts of a tokenizer, independent of the file format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/formats/gguf.h"
#include "tokenizer/added_vocabulary.h"
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
  AddedVocabulary added;        ///< special tokens and others; their ids may also be in the vocabulary
  bool splits_special = false;  ///< special tokens in the text are text
  std::optional<std::int32_t> bos_id, eos_id;
  /// What the reference puts around each text.
  std::vector<std::int32_t> before_text, after_text;
  std::string no_bos_reason;       ///< not empty: it would put a BOS before each text, but there is none
  std::string pre_tokenizer_name;  ///< for descriptions
};

/// Both throw Error with the file and the part of the pipeline that is not supported.
TokenizerParts read_tokenizer_json(const std::filesystem::path& path);
TokenizerParts read_tokenizer_gguf(const GgufFile& file);

/// What becomes of a byte whose character is not in the vocabulary.
struct MissingBytes {
  bool fallback = false;                 ///< to tokens <0xNN> of the character's bytes, if all are there
  std::optional<std::string> unk_token;  ///< else to this token; without one the byte is dropped
  bool fuse_unk = false;                 ///< neighbouring ones become one
};

/// Sets the byte ids of the encoder from the vocabulary. Errors of encoding begin with `path`.
void set_bytes(TokenizerParts& parts, const MissingBytes& missing = {}, const std::string& path = {});

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
