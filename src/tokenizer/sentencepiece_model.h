// Reads a model of SentencePiece: a protocol buffer, of which this is all that encoding and decoding need
// (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

struct SentencePieceModel {
  enum class Type : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  std::vector<Piece> pieces;

  enum class Kind : std::uint8_t { unigram = 1, bpe = 2 };
  Kind kind = Kind::unigram;
  bool byte_fallback = false;
  bool space_is_suffix = false;  ///< treat_whitespace_as_suffix
  std::string bos = "<s>", eos = "</s>";

  std::string chars_map;  ///< precompiled_charsmap
  bool add_prefix = true, remove_extra_spaces = true, escape_spaces = true;
};

/// Throws Error that begins with `path` if the bytes are no such model, or one whose kind is not supported.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& path);

}  // namespace kvpress
