// What is done to a text before it is split into words.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/chars_map.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace kvpress {

/// What stands for a space in tokens of SentencePiece: U+2581.
inline constexpr std::string_view kSpaceSign = "\xE2\x96\x81";

struct Lowercase {};
struct StripSpace {
  bool left = false, right = false;
};
/// Before a text that is not empty.
struct PrependText {
  std::string text;
};
/// Each match becomes `content`.
struct ReplaceText {
  Regex regex;
  std::string content;
};
/// The rules of a SentencePiece model, as the library `tokenizers` applies them: to grapheme clusters.
struct ClusterRules {
  CharsMap rules;
};
/// The whole normalizer of SentencePiece.
struct SentencePieceRules {
  CharsMap rules;
  ByteTrie untouched;      ///< pieces that no rule rewrites
  bool add_prefix = true;  ///< to what is encoded as a whole
  bool prefix_is_suffix = false;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;  ///< a space becomes kSpaceSign
};

using NormalizerStep =
    std::variant<NormalForm, Lowercase, StripSpace, PrependText, ReplaceText, ClusterRules, SentencePieceRules>;

class Normalizer {
 public:
  template <typename Step>
  void add(Step&& step) {
    steps_.emplace_back(std::forward<Step>(step));
  }

  /// `text`, valid UTF-8, after all steps: itself, or a copy in `storage`. `is_first`: whether the text is the
  /// beginning of what is encoded; as in the reference, it is not any more once its beginning is removed. Thread-safe.
  std::string_view apply(std::string_view text, std::string& storage, bool& is_first) const;
  std::string_view apply(std::string_view text, std::string& storage) const;

  /// For descriptions: "NFC"; empty if there is nothing to tell.
  std::string description() const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace kvpress
