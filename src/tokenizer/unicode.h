// UTF-8 and Unicode functions that match the reference implementation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kvpress {

/// `text` itself if it is valid UTF-8; otherwise a copy in `storage` with U+FFFD for each maximal invalid part, as with
/// Python's errors="replace" and in the Unicode standard.
std::string_view to_valid_utf8(std::string_view text, std::string& storage);

/// The code point at `at` in valid UTF-8; moves `at` behind it.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  const auto more = [&](std::size_t i) { return static_cast<char32_t>(byte(at + i) & 0x3f); };
  char32_t code = lead;
  if (lead < 0x80) {
    at += 1;
  } else if (lead < 0xe0) {
    code = static_cast<char32_t>(lead & 0x1f) << 6 | more(1);
    at += 2;
  } else if (lead < 0xf0) {
    code = static_cast<char32_t>(lead & 0x0f) << 12 | more(1) << 6 | more(2);
    at += 3;
  } else {
    code = static_cast<char32_t>(lead & 0x07) << 18 | more(1) << 12 | more(2) << 6 | more(3);
    at += 4;
  }
  return code;
}

/// The last code point of a text in valid UTF-8 that is not empty.
inline char32_t last_code_point(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return next_code_point(text, at);
}

void append_utf8(std::string& out, char32_t code);

/// Normalization form C: `text` itself if a quick check shows that it is normalized, else a copy in `storage`.
std::string_view to_nfc(std::string_view text, std::string& storage);

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };
/// The same for any form.
std::string_view to_normal_form(std::string_view text, NormalForm form, std::string& storage);

/// Every letter in lower case, each by itself: `text` itself if it is, else a copy in `storage`.
std::string_view to_lowercase(std::string_view text, std::string& storage);

/// Tells where grapheme clusters end. Ask for all neighbours of a text in order.
class GraphemeBreaks {
 public:
  bool between(char32_t last, char32_t next);

 private:
  std::int32_t state_ = 0;
};

/// `text` for regular expressions: itself, or a copy of the same length in `storage` in which code points unknown to
/// PCRE2 are replaced by others of the same category.
std::string_view to_regex_subject(std::string_view text, std::string& storage);

/// Whether the category is Nd, Nl or No.
bool is_numeric(char32_t code);
/// Whether the code point has the property White_Space: what \s matches.
bool is_white_space(char32_t code);
/// What \w matches: letters, marks, decimal digits, connectors and joiners.
bool is_word(char32_t code);

}  // namespace kvpress
