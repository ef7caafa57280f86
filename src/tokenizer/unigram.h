// The Unigram model: of all ways to cut a word into tokens, the one whose scores have the largest sum.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"

namespace kvpress {

struct UnigramPiece {
  std::string_view text;
  double score = 0;
  /// Chosen wherever it occurs.
  bool user_defined = false;
  /// Not found in text (control tokens, bytes, ...).
  bool hidden = false;
};

/// How the implementations differ.
enum class UnigramKind : std::uint8_t {
  tokenizers,    ///< sums in double; characters that are unknown together may be a token together
  sentencepiece  ///< sums in float; user-defined pieces
};

class UnigramEncoder {
 public:
  /// `pieces` by id. `unknown` is the id of what is no piece, if there is one. Scores are finite.
  UnigramEncoder(const std::vector<UnigramPiece>& pieces, UnigramKind kind, std::optional<std::int32_t> unknown);

  /// A character that is unknown becomes the tokens of its bytes, if all of them have one.
  void set_byte_token(unsigned char byte, std::int32_t id) { byte_ids_[byte] = id; }
  /// encode() throws Error with `message` where the unknown token is needed but there is none.
  void refuse_unknown(std::string message) { no_unknown_ = std::move(message); }

  /// Appends the ids of `word`, valid UTF-8, in O(n). Thread-safe.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

 private:
  struct Step {
    double score = 0;
    std::size_t begin = 0;
    std::int32_t id = kUnreached;
  };
  static constexpr std::int32_t kUnreached = -2, kUnknown = -1;

  void reach(Step& step, double score, std::size_t begin, std::int32_t id) const;
  std::vector<Step> best_steps(std::string_view word) const;
  void put_unknown(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::optional<std::int32_t> find(std::string_view text) const;

  UnigramKind kind_;
  std::optional<std::int32_t> unknown_;
  std::string no_unknown_;
  ByteTrie trie_;
  std::vector<double> scores_;
  std::vector<char> user_defined_;
  std::array<std::int32_t, 256> byte_ids_;
  double unknown_score_ = 0;
  float largest_score_ = 0;
};

}  // namespace kvpress
