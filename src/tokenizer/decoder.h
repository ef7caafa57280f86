// What tokens stand for in a text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tokenizer/regex.h"

namespace kvpress {

/// A token <0xNN> is a byte.
struct ByteTokens {};
/// A token of characters of ByteAlphabet is their bytes.
struct ByteCharacters {};
/// Each match becomes `content`.
struct ReplaceInToken {
  Regex regex;
  std::string content;
};
/// Up to `start` times `content` at a token's beginning and `stop` times at its end are left out.
struct StripToken {
  std::string content;
  std::size_t start = 0, stop = 0;
};

using DecoderStep = std::variant<ByteTokens, ByteCharacters, ReplaceInToken, StripToken>;

/// What is left out where a text begins.
enum class TextBegin : std::uint8_t {
  nothing,
  signs_of_first,   ///< all `sign` of the first token
  sign_of_first,    ///< one `sign` that the first token begins with
  signs_till_text,  ///< the same of each token until there is text
};

class Decoder {
 public:
  template <typename Step>
  void add(Step&& step) {
    steps_.emplace_back(std::forward<Step>(step));
  }
  void set_begin(TextBegin begin, std::string sign) {
    begin_ = begin;
    sign_ = std::move(sign);
  }
  /// Of the text as a whole.
  void set_strip(StripToken strip) { strip_ = std::move(strip); }

  /// The bytes of a token within a text.
  std::string bytes_of(std::string_view token) const;

  TextBegin begin() const { return begin_; }
  /// Of a token where a text begins.
  std::string first_bytes_of(std::string_view token) const;
  void strip(std::string& text) const;

 private:
  std::vector<DecoderStep> steps_;
  TextBegin begin_ = TextBegin::nothing;
  std::string sign_;
  StripToken strip_;
};

}  // namespace kvpress
