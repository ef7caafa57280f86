// The vocabulary: maps token strings to ids and back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// Token strings and ids. Const functions are thread-safe.
class Vocabulary {
 public:
  /// The largest id. Larger ids occur only in damaged files, and would need a table of their size.
  static constexpr std::int64_t kMaxId = (std::int64_t{1} << 22) - 1;

  void reserve(std::size_t n_tokens);

  /// Adds a token; returns false if the string or the id exists already. `id` must be at most kMaxId.
  bool add(std::string_view token, std::int32_t id);

  /// The id of a token; empty if there is none.
  std::optional<std::int32_t> find(std::string_view token) const;
  /// The string of an id; empty if there is none. Valid until the next add().
  std::string_view token(std::int32_t id) const;

  std::size_t size() const { return n_tokens_; }
  /// The largest id plus 1.
  std::int32_t end_id() const { return static_cast<std::int32_t>(by_id_.size()); }

 private:
  struct Place {
    std::uint32_t begin = 0;
    std::int32_t length = -1;  ///< -1: no such id
  };
  std::string_view at(const Place& place) const {
    return std::string_view(text_).substr(place.begin, static_cast<std::size_t>(place.length));
  }
  void grow_table();

  std::string text_;
  std::vector<Place> by_id_;
  std::vector<std::int32_t> table_;  ///< ids by hash, -1 if empty; its size is a power of two, at most half is used
  std::size_t n_tokens_ = 0;
};

/// The mapping of bytes to printable characters in tokens of the reference: byte 32 is U+0120, byte 65 is "A".
class ByteAlphabet {
 public:
  ByteAlphabet();
  /// The character of a byte, in UTF-8.
  const std::string& character(unsigned char byte) const { return characters_[byte]; }
  /// The bytes that the characters of `token` stand for; empty if a character stands for no byte.
  std::optional<std::string> bytes_of(std::string_view token) const;

 private:
  std::string characters_[256];
  std::int16_t bytes_[0x144];  ///< by character; -1 if it stands for no byte
};

}  // namespace kvpress
