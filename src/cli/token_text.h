// The text of tokens as they come, for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/utf8_stream.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

class TokenText {
 public:
  /// `is_begin`: the first token begins a text; otherwise it goes on, with the space that a first token may bring.
  TokenText(const Tokenizer& tokenizer, bool is_begin) : tokenizer_(tokenizer), is_begin_(is_begin) {}

  /// What can be shown: a token may be part of a character.
  std::string take(std::int32_t id) {
    const bool is_first = std::exchange(is_begin_, false);
    return stream_.take(is_first ? tokenizer_.decode({&id, 1}) : tokenizer_.decode_next({&id, 1}));
  }
  /// What was held back.
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  bool is_begin_;
  Utf8Stream stream_;
};

}  // namespace kvpress
