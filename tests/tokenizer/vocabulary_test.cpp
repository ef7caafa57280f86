#include "tokenizer/vocabulary.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

TEST(Vocabulary, BothWays) {
  Vocabulary words;
  EXPECT_EQ(words.find("a"), std::nullopt);
  EXPECT_EQ(words.token(0), "");
  EXPECT_TRUE(words.add("a", 3));
  EXPECT_TRUE(words.add("", 0));
  EXPECT_EQ(words.find("a"), 3);
  EXPECT_EQ(words.find(""), 0);
  EXPECT_EQ(words.token(3), "a");
  EXPECT_EQ(words.token(1), "");
  EXPECT_EQ(words.token(-1), "");
  EXPECT_EQ(words.token(4), "");
  EXPECT_EQ(words.size(), 2u);
  EXPECT_EQ(words.end_id(), 4);
}

TEST(Vocabulary, NothingStandsTwice) {
  Vocabulary words;
  EXPECT_TRUE(words.add("a", 0));
  EXPECT_FALSE(words.add("a", 1));
  EXPECT_FALSE(words.add("b", 0));
  EXPECT_EQ(words.find("b"), std::nullopt);
  EXPECT_EQ(words.token(0), "a");
  EXPECT_EQ(words.size(), 1u);
}

TEST(Vocabulary, Grows) {
  for (const std::size_t reserved : {0u, 10u, 100'000u}) {
    Vocabulary words;
    words.reserve(reserved);
    for (std::int32_t id = 0; id < 50'000; ++id) ASSERT_TRUE(words.add("token" + std::to_string(id), id));
    for (std::int32_t id = 0; id < 50'000; ++id) {
      ASSERT_EQ(words.find("token" + std::to_string(id)), id);
      ASSERT_EQ(words.token(id), "token" + std::to_string(id));
    }
    EXPECT_EQ(words.find("token50000"), std::nullopt);
  }
}

TEST(ByteAlphabet, IsTheReferences) {
  const ByteAlphabet alphabet;
  EXPECT_EQ(alphabet.character('A'), "A");
  EXPECT_EQ(alphabet.character(' '), "\u0120");
  EXPECT_EQ(alphabet.character('\n'), "\u010a");
  EXPECT_EQ(alphabet.character(0), "\u0100");
  EXPECT_EQ(alphabet.character(0x7f), "\u0121");
  EXPECT_EQ(alphabet.character(0xa0), "\u0142");
  EXPECT_EQ(alphabet.character(0xad), "\u0143");
  EXPECT_EQ(alphabet.character(0xff), "\u00ff");
}

TEST(ByteAlphabet, EveryByteThereAndBack) {
  const ByteAlphabet alphabet;
  std::string token;
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    token += alphabet.character(static_cast<unsigned char>(byte));
    bytes += static_cast<char>(byte);
  }
  EXPECT_EQ(alphabet.bytes_of(token), bytes);
  EXPECT_EQ(alphabet.bytes_of(""), "");
  for (const char* other : {" ", "a\nb", "\u0144", "\u00ad", "\u4e00", "\U0001f600"}) {
    EXPECT_EQ(alphabet.bytes_of(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace kvpress
