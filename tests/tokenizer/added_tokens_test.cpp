#include "tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include <list>

namespace kvpress {
namespace {

class AddedTokens : public ::testing::Test {
 protected:
  void add(const std::string& content, bool AddedToken::*flag = nullptr) {
    tokens_.emplace_back().content = content;
    if (flag != nullptr) tokens_.back().*flag = true;
    tokens_.back().id = static_cast<std::int32_t>(tokens_.size());
    finder_.add(tokens_.back().content, tokens_.back());
  }
  /// Texts and ids with '|' between them.
  std::string split(std::string_view text) const {
    std::string out;
    const auto put = [&](std::string_view part) {
      if (!out.empty()) out += '|';
      out += part;
    };
    finder_.split(text, put, [&](std::int32_t id) { put(std::to_string(id)); });
    return out;
  }

  std::list<AddedToken> tokens_;
  AddedTokenFinder finder_;
};

TEST_F(AddedTokens, NoneFindNone) {
  EXPECT_EQ(split("abc"), "abc");
  EXPECT_EQ(split(""), "");
  add("");
  EXPECT_EQ(split("abc"), "abc");
}

TEST_F(AddedTokens, LeftmostThenLongest) {
  add("bc");
  add("abcd");
  add("ab");
  add("b");
  EXPECT_EQ(split("xabcy"), "x|3|cy");
  EXPECT_EQ(split("abcd"), "2");
  EXPECT_EQ(split("abcabcd"), "3|c|2");
  EXPECT_EQ(split("bcb"), "1|4");
  EXPECT_EQ(split("abc"), "3|c");
  EXPECT_EQ(split("a"), "a");
}

TEST_F(AddedTokens, OfTwoAlikeTheFirst) {
  add("x");
  add("x");
  EXPECT_EQ(split("axx"), "a|1|1");
}

TEST_F(AddedTokens, AnyBytesMayStandInThem) {
  add(std::string("\0\xff", 2));
  EXPECT_EQ(split(std::string_view("a\0\xff\0", 4)), std::string("a|1|\0", 5));
}

TEST_F(AddedTokens, SingleWords) {
  add("cat", &AddedToken::single_word);
  EXPECT_EQ(split("cat"), "1");
  EXPECT_EQ(split("a cat."), "a |1|.");
  EXPECT_EQ(split("cats"), "cats");
  EXPECT_EQ(split("bobcat"), "bobcat");
  EXPECT_EQ(split("_cat cat\u0301"), "_cat cat\u0301");
  EXPECT_EQ(split("\u00e9cat \u4e2dcat"), "\u00e9cat \u4e2dcat");
  EXPECT_EQ(split("\u2019cat\u2019"), "\u2019|1|\u2019");
}

TEST_F(AddedTokens, TakeWhiteSpaceAlong) {
  add("<l>", &AddedToken::lstrip);
  add("<r>", &AddedToken::rstrip);
  EXPECT_EQ(split("a \u3000\n<l> b"), "a|1| b");
  EXPECT_EQ(split("a <r> \u00a0\n b"), "a |2|b");
  EXPECT_EQ(split("<r>  <l>"), "2|1");
  EXPECT_EQ(split("  <l>"), "1");
  EXPECT_EQ(split("<r>  "), "2");
  EXPECT_EQ(split("a\u200b<l>"), "a\u200b|1");
}

}  // namespace
}  // namespace kvpress
