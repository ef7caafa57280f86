// Cuts a template into tokens, with the white space control that transformers sets: the newline after a block's tag
// goes (trim_blocks), and so does the white space before a block's tag at the beginning of a line (lstrip_blocks).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress::jinja {

struct Token {
  enum class Kind {
    data,
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    text,
    integer,
    number,
    symbol,
    end
  };
  Kind kind;
  int line;
  std::string text;  ///< data, name, text, symbol
  std::int64_t integer = 0;
  double number = 0;
};

/// `source` is valid UTF-8. The last token is `end`. Throws Error with the template's name and the line.
std::vector<Token> tokenize(const std::string& name, std::string_view source);

}  // namespace kvpress::jinja
