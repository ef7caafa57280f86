// The strings of the tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

class Vocabulary {
 public:
  /// No vocabulary of words comes near; an id beyond it is damage, and would take its memory.
  static constexpr std::int64_t kMaxId = (std::int64_t{1} << 22) - 1;

  void reserve(std::size_t n_tokens);

  /// False when the string or the id has been added before; the id is at most kMaxId.
  bool add(std::string_view token, std::int32_t id);

  std::optional<std::int32_t> find(std::string_view token) const;
  /// Empty for an id that was never added.
  std::string_view token(std::int32_t id) const;

  std::size_t size() const { return n_tokens_; }
  /// One more than the largest id.
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
  std::vector<std::int32_t> table_;  ///< ids by hash, -1 where empty; a power of two, at most half full
  std::size_t n_tokens_ = 0;
};

/// The reference writes each byte of a token as a printable character: byte 32 as U+0120, byte 65 as "A".
class ByteAlphabet {
 public:
  ByteAlphabet();
  /// The character of a byte, in UTF-8.
  const std::string& character(unsigned char byte) const { return characters_[byte]; }
  /// The bytes that `token`'s characters stand for; nothing when one of them is no byte's.
  std::optional<std::string> bytes_of(std::string_view token) const;

 private:
  std::string characters_[256];
  std::int16_t bytes_[0x144];  ///< by character, -1 where it is no byte's
};

}  // namespace kvpress
