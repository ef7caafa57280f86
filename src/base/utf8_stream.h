// Text that comes in pieces of bytes, such as tokens, shown in whole characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace kvpress {

/// The number of bytes at the end of a text that begin a character and do not end it.
inline std::size_t unfinished_bytes(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0u) == 0x80u) continue;  // inside a character
    const std::size_t length = byte >= 0xf8 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/// Holds back the beginning of a character until the rest of it has come. Bytes that are not UTF-8 pass unchanged.
class Utf8Stream {
 public:
  /// What can be shown after this piece.
  std::string take(std::string_view piece) {
    held_ += piece;
    const std::size_t n = held_.size() - unfinished_bytes(held_);
    std::string whole = held_.substr(0, n);
    held_.erase(0, n);
    return whole;
  }
  /// What is left at the end: part of a character, or nothing.
  std::string finish() { return std::move(held_); }

 private:
  std::string held_;
};

}  // namespace kvpress
