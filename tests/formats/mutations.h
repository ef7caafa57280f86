// Damage: what any reader must survive, with an Error of one line and nothing else.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "kvpress/base/error.h"
#include "temporary_folder.h"

namespace kvpress::test {

inline std::string damaged(std::string bytes, std::mt19937_64& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (std::size_t n = 1 + below(4); n > 0 && !bytes.empty(); --n) {
    // Headers are where the lies are: half of the damage is done near the beginning.
    const std::size_t at = below(below(2) == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 400));
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
        break;
      case 4:
        bytes.erase(at, below(20));
        break;
      default: {
        constexpr std::uint64_t kNumbers[] = {0, 1, 0x7fffffff, 0xffffffff, 1ull << 62, ~0ull >> 1, ~0ull, 1ull << 32};
        const std::uint64_t number = kNumbers[below(std::size(kNumbers))];
        std::memcpy(bytes.data() + at, &number, std::min(sizeof number, bytes.size() - at));
      }
    }
  }
  return bytes;
}

/// read(path) is called with `n` damaged copies of `bytes`, in a file of that name.
template <typename Read>
void survives_damage(const std::string& bytes, const std::string& name, int n, Read read) {
  const TemporaryFolder folder;
  for (int seed = 0; seed < n; ++seed) {
    std::mt19937_64 random(static_cast<std::uint64_t>(seed));
    const auto path = folder.file(name, damaged(bytes, random));
    try {
      read(path);
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message, "");
      EXPECT_EQ(message.find('\n'), std::string::npos) << "seed " << seed << ": " << message;
      EXPECT_LT(message.size(), 1000u) << "seed " << seed;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << ": " << error.what();
    }
  }
}

/// The message of the Error that `call` throws.
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace kvpress::test
