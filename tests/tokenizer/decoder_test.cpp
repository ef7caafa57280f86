#include "tokenizer/decoder.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

template <typename... Steps>
Decoder of(Steps... steps) {
  Decoder decoder;
  (decoder.add(std::move(steps)), ...);
  return decoder;
}

ReplaceInToken spaces() { return {Regex::literal("_", "test"), " "}; }

TEST(Decoder, BytesOfATokenWithinAText) {
  EXPECT_EQ(of().bytes_of("_a"), "_a");
  EXPECT_EQ(of(ByteTokens{}).bytes_of("<0xE9>"), "\xe9");
  EXPECT_EQ(of(ByteTokens{}).bytes_of("<0xe9>"), "\xe9");
  EXPECT_EQ(of(ByteTokens{}).bytes_of("<0x00>"), std::string(1, '\0'));
  for (const char* token : {"<0xE>", "<0xG0>", "<0x123>", "<0x12", "0x12"}) {
    EXPECT_EQ(of(ByteTokens{}).bytes_of(token), token);
  }
  EXPECT_EQ(of(ByteCharacters{}).bytes_of("\u0120a\u00e9"), " a\xe9");
  EXPECT_EQ(of(ByteCharacters{}).bytes_of("\u4e2da"), "\u4e2da");  // not characters that stand for bytes
  EXPECT_EQ(of(spaces(), ByteTokens{}).bytes_of("__a_"), "  a ");
  EXPECT_EQ(of(StripToken{"_", 2, 1}).bytes_of("___a__"), "_a_");
  EXPECT_EQ(of(StripToken{"_", 2, 1}).bytes_of("_"), "");
}

TEST(Decoder, WhatATextBeginsWith) {
  const auto first = [](TextBegin begin, std::string_view token) {
    Decoder decoder = of(spaces());
    decoder.set_begin(begin, "_");
    return decoder.first_bytes_of(token);
  };
  EXPECT_EQ(first(TextBegin::nothing, "_a_"), " a ");
  EXPECT_EQ(first(TextBegin::signs_of_first, "_a_b"), "ab");
  EXPECT_EQ(first(TextBegin::sign_of_first, "__a_b"), " a b");
  EXPECT_EQ(first(TextBegin::signs_till_text, "_a_b"), "a b");
}

TEST(Decoder, TheTextAsAWhole) {
  Decoder decoder = of(spaces());
  decoder.set_strip({" ", 1, 0});
  std::string text = "  a ";
  decoder.strip(text);
  EXPECT_EQ(text, " a ");
  text = "";
  decoder.strip(text);
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace kvpress
