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
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/unigram.h"
#include "tokenizer/vocabulary.h"

namespace kvpress {

/// What words are made of.
enum class TokenizerKind : std::uint8_t {
  byte_level,  ///< BPE of bytes, which characters of ByteAlphabet stand for in the vocabulary
  characters,  ///< BPE of characters
  unigram
};

struct TokenizerParts {
  TokenizerKind kind = TokenizerKind::byte_level;
  Vocabulary vocabulary;
  BytePairEncoder encoder;                ///< unless kind is unigram
  std::optional<UnigramEncoder> unigram;  ///< if kind is unigram
  /// A word that is a token is not split by merges; or only one of line feeds is not.
  bool ignore_merges = false, ignore_merges_of_lines = false;
  Normalizer normalizer;
  std::vector<PreTokenizerStep> steps;
  Decoder decoder;
  AddedVocabulary added;        ///< special tokens and others; their ids may also be in the vocabulary
  bool splits_special = false;  ///< special tokens in the text are text
  bool added_as_is = false;     ///< the decoder leaves them alone
  /// Tokens looked for in the normalized text as they are.
  std::vector<AddedToken> in_normalized;
  std::optional<std::int32_t> bos_id, eos_id;
  /// What the reference puts around each text.
  std::vector<std::int32_t> before_text, after_text;
  std::string no_bos_reason;       ///< not empty: it would put a BOS before each text, but there is none
  std::string pre_tokenizer_name;  ///< for descriptions
};

/// All throw Error with the file and the part of the pipeline that is not supported.
TokenizerParts read_tokenizer_json(const std::filesystem::path& path);
TokenizerParts read_tokenizer_gguf(const GgufFile& file);
TokenizerParts read_tokenizer_sentencepiece(const std::filesystem::path& path);
TokenizerParts read_tokenizer_tekken(const std::filesystem::path& path);

/// What becomes of a byte whose character is not in the vocabulary.
struct MissingBytes {
  bool fallback = false;                 ///< to tokens <0xNN> of the character's bytes, if all are there
  std::optional<std::string> unk_token;  ///< else to this token; without one the byte is dropped
  bool fuse_unk = false;                 ///< neighbouring ones become one
};

/// Sets what words begin as, bytes or characters, from the vocabulary. Errors of encoding begin with `path`.
void set_alphabet(TokenizerParts& parts, const MissingBytes& missing = {}, const std::string& path = {});

/// The id of the token <0xNN>.
std::optional<std::int32_t> byte_token(const Vocabulary& vocabulary, unsigned char byte);

/// The decoder of SentencePiece's models: spaces for their signs, bytes for their tokens.
Decoder space_sign_decoder();

/// Adds the merges that scores stand for, as in SentencePiece: two tokens merge if what they make is a token, those
/// first that make the token of the highest score. Characters without a token may be part of one. Also sets what words
/// of characters begin as; those of bytes are set by set_alphabet(). `scores` are by id,
/// and not NaN; the token of an id that `takes_part` denies is none here. Throws Error that begins with `path`.
void add_scored_merges(TokenizerParts& parts, const std::vector<float>& scores, const std::vector<bool>& takes_part,
                       const std::string& path);

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
