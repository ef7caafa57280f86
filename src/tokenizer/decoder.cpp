#include "tokenizer/decoder.h"

#include <optional>
#include <utility>

#include "tokenizer/vocabulary.h"

namespace kvpress {
namespace {

/// No token stands for more.
constexpr std::size_t kMaxTokenBytes = 1 << 24;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

void strip_both(const StripToken& strip, std::string& text) {
  if (strip.content.empty()) return;
  std::string_view left = text;
  for (std::size_t n = 0; n < strip.start && left.starts_with(strip.content); ++n) {
    left.remove_prefix(strip.content.size());
  }
  for (std::size_t n = 0; n < strip.stop && left.ends_with(strip.content); ++n) {
    left.remove_suffix(strip.content.size());
  }
  if (left.size() != text.size()) text = std::string(left);
}

}  // namespace

std::string Decoder::bytes_of(std::string_view token) const {
  static const ByteAlphabet alphabet;
  std::string text(token);
  for (const DecoderStep& step : steps_) {
    if (std::holds_alternative<ByteTokens>(step)) {
      if (const auto byte = byte_of(text)) return std::string(1, *byte);
    } else if (std::holds_alternative<ByteCharacters>(step)) {
      if (auto bytes = alphabet.bytes_of(text)) return std::move(*bytes);
    } else if (const auto* replace = std::get_if<ReplaceInToken>(&step)) {
      std::string storage;
      const std::string_view replaced =
          replace_matches(replace->regex, text, replace->content, storage, kMaxTokenBytes);
      if (replaced.data() != text.data()) text = std::move(storage);
    } else {
      strip_both(std::get<StripToken>(step), text);
    }
  }
  return text;
}

std::string Decoder::first_bytes_of(std::string_view token) const {
  std::string left(token);
  if (begin_ == TextBegin::signs_of_first) {
    for (std::size_t at = 0; (at = left.find(sign_, at)) != std::string::npos;) left.erase(at, sign_.size());
  } else if (begin_ != TextBegin::nothing && left.starts_with(sign_)) {
    left.erase(0, sign_.size());
  }
  return bytes_of(left);
}

void Decoder::strip(std::string& text) const { strip_both(strip_, text); }

}  // namespace kvpress
