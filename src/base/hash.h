// A fast hash of short byte strings, for hash tables of words. Not resistant to collision attacks.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace kvpress {

inline std::uint64_t mix(std::uint64_t x) {
  x *= 0x9e3779b97f4a7c15u;
  return x ^ (x >> 32);
}

/// The hash of the bytes of `text`; the same on every little-endian machine.
inline std::uint64_t hash_bytes(std::string_view text) {
  std::uint64_t hash = text.size();
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t word = 0;
  for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
    std::memcpy(&word, at, sizeof word);
    hash = mix(hash ^ word) + hash;
  }
  word = 0;
  if (left > 0) std::memcpy(&word, at, left);
  return mix(mix(hash ^ word) ^ left);
}

}  // namespace kvpress
