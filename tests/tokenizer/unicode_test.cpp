#include "tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <random>

#include "tokenizer/regex.h"
#include "tokenizer/unicode_tables.h"

namespace kvpress {
namespace {

std::string utf8(char32_t code) {
  std::string text;
  append_utf8(text, code);
  return text;
}

bool is_surrogate(char32_t code) { return code >= 0xd800 && code < 0xe000; }

/// What became of it, with U+FFFD written as '?'.
std::string valid(std::string_view text) {
  std::string storage;
  std::string out(to_valid_utf8(text, storage));
  for (std::size_t at; (at = out.find("\uFFFD")) != std::string::npos;) {
    out[at] = '?';
    out.erase(at + 1, 2);
  }
  return out;
}

std::string nfc(std::string_view text) {
  std::string storage;
  return std::string(to_nfc(text, storage));
}

TEST(Utf8, EveryCodePointThereAndBack) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (is_surrogate(code)) continue;
    const std::string text = utf8(code);
    std::size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), code);
    ASSERT_EQ(at, text.size());
    std::string storage;
    ASSERT_EQ(to_valid_utf8(text, storage).data(), text.data()) << static_cast<std::uint32_t>(code);
  }
  for (char32_t code = 0xd800; code < 0xe000; ++code) ASSERT_EQ(valid(utf8(code)), "???");
}

TEST(Utf8, EachMaximalPartOfASequenceIsReplacedOnce) {
  // The Unicode standard's own example (table 3-8).
  EXPECT_EQ(valid("a\xF1\x80\x80\xE1\x80\xC2"
                  "b\x80"
                  "c\x80\xBF"
                  "d"),
            "a???b?c??d");
  EXPECT_EQ(valid("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                  "A"),
            "????????A");
  EXPECT_EQ(valid("\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
                  "A"),
            "????????A");
  EXPECT_EQ(valid("\xF4\x91\x92\x93\xFF"
                  "A\x80\xBF"
                  "B"),
            "?????A??B");
  EXPECT_EQ(valid("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                  "A"),
            "????A");
  EXPECT_EQ(valid("\xF5\x80\x80\x80\xF8\x88\x80\x80\x80\xFE"), "??????????");
  EXPECT_EQ(valid("caf\xC3"), "caf?");
  EXPECT_EQ(valid("12345678\xE2\x82\xAC\xE2\x82"), "12345678\u20AC?");
  EXPECT_EQ(valid(std::string_view("a\0\x80", 3)), std::string("a\0?", 3));
  EXPECT_EQ(valid(""), "");
}

TEST(Utf8, WhateverComesInIsValidGoingOut) {
  std::mt19937 random(1);
  for (int n = 0; n < 20000; ++n) {
    std::string text(random() % 24, '\0');
    // Few kinds of bytes, so that sequences nearly come about.
    constexpr unsigned char kBytes[] = {0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4};
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() : kBytes[random() % std::size(kBytes)]);
    std::string storage;
    const std::string_view out = to_valid_utf8(text, storage);
    for (std::size_t at = 0; at < out.size();) {
      utf8proc_int32_t code = 0;
      const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(out.data()) + at,
                                           static_cast<utf8proc_ssize_t>(out.size() - at), &code);
      ASSERT_GT(length, 0) << ::testing::PrintToString(text);
      at += static_cast<std::size_t>(length);
    }
  }
}

TEST(Nfc, ComposesAndReorders) {
  EXPECT_EQ(nfc("plain"), "plain");
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("\u212b \u2126"), "\u00c5 \u03a9");
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(nfc("a\u0315\u0334"), "a\u0334\u0315");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\uac00\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\u3042\u3099"), "\u3042\u3099");
  EXPECT_EQ(nfc("\u304b\u3099"), "\u304c");
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");  // excluded from composition
  EXPECT_EQ(nfc(std::string_view("e\u0301\0e\u0301", 7)), std::string_view("\u00e9\0\u00e9", 5));
}

TEST(Nfc, MarksYoungerThanTheReferenceStayWhereTheyAre) {
  EXPECT_EQ(nfc("\u07fd\u0334"), "\u07fd\u0334");
  EXPECT_EQ(nfc("a\u0315\u0898"), "a\u0315\u0898");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
}

TEST(Nfc, TwiceIsAsGoodAsOnce) {
  std::mt19937 random(2);
  for (int n = 0; n < 20000; ++n) {
    std::string text;
    for (int i = 0; i < 6; ++i) {
      char32_t code = random() % 2 == 0 ? 0x300 + random() % 0x70 : random() % 0x110000;
      if (is_surrogate(code)) code = 'x';
      append_utf8(text, code);
    }
    const std::string once = nfc(text);
    ASSERT_EQ(nfc(once), once) << text;
  }
}

TEST(NormalForms, OfTheReference) {
  const auto in = [](NormalForm form, std::string_view text) {
    std::string storage;
    return std::string(to_normal_form(text, form, storage));
  };
  EXPECT_EQ(in(NormalForm::nfd, "\u00e9\ufb01"), "e\u0301\ufb01");
  EXPECT_EQ(in(NormalForm::nfkc, "e\u0301\ufb01\uff21"), "\u00e9fiA");
  EXPECT_EQ(in(NormalForm::nfkd, "\u00e9\ufb01\uac00"), "e\u0301fi\u1100\u1161");
  // Decompositions younger than the reference's tables, which are of Unicode 9.
  EXPECT_EQ(in(NormalForm::nfkc, "\u32ff\U0001fbf1"), "\u32ff\U0001fbf1");
  EXPECT_EQ(in(NormalForm::nfkc, "\u32fe"), "\u30f2");
  EXPECT_EQ(in(NormalForm::nfd, "\U00011938"), "\U00011938");
}

TEST(Lowercase, EachLetterByItself) {
  const auto lower = [](std::string_view text) {
    std::string storage;
    return std::string(to_lowercase(text, storage));
  };
  EXPECT_EQ(lower("AbC 1\u00c4\u1e9e\u03a3"), "abc 1\u00e4\u00df\u03c3");
  EXPECT_EQ(lower("\u0130x"), "i\u0307x");
  EXPECT_EQ(lower("\U00010d50\u1c89\ua7cb\ua7dc"), "\U00010d70\u1c8a\u0264\u019b");  // of Unicode 16
  EXPECT_EQ(lower("\ua7cd\ua7d3"), "\ua7cd\ua7d3");
  std::string storage;
  const std::string_view small = "abc \u00e4";
  EXPECT_EQ(to_lowercase(small, storage).data(), small.data());
}

TEST(GraphemeBreaks, Clusters) {
  GraphemeBreaks breaks;
  EXPECT_TRUE(breaks.between('a', 'b'));
  EXPECT_FALSE(breaks.between('b', 0x301));
  EXPECT_FALSE(breaks.between(0x301, 0x302));
  EXPECT_TRUE(breaks.between(0x302, '\r'));
  EXPECT_FALSE(breaks.between('\r', '\n'));
}

TEST(RegexSubject, KeepsEveryLength) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (is_surrogate(code)) continue;
    const std::string text = utf8(code);
    std::string storage;
    ASSERT_EQ(to_regex_subject(text, storage).size(), text.size()) << static_cast<std::uint32_t>(code);
  }
}

TEST(RegexSubject, GivesYoungCharactersTheirCategory) {
  const auto is = [](const char* pattern, char32_t code) {
    std::string storage;
    const std::string text = utf8(code);
    Regex::Match match{};
    return Regex(pattern, "test").find(to_regex_subject(text, storage), 0, match);
  };
  EXPECT_TRUE(is(R"(\p{Lu})", 0x1c89));
  EXPECT_TRUE(is(R"(\p{Ll})", 0x1c8a));
  EXPECT_TRUE(is(R"(\p{L})", 0x31350));
  EXPECT_TRUE(is(R"(\p{Nd})", 0x11f50));
  EXPECT_TRUE(is(R"(\p{M})", 0x11f41));
  EXPECT_TRUE(is(R"(\p{So})", 0x1fae8));
  EXPECT_FALSE(is(R"(\s)", 0x180e));
  EXPECT_TRUE(is(R"(\s)", 0x3000));
}

TEST(UnicodeTables, Ascend) {
  const auto ascends = [](const auto& table) {
    for (std::size_t i = 0; i < table.size(); ++i) {
      EXPECT_LE(table[i].first, table[i].last);
      EXPECT_TRUE(i == 0 || table[i].first > table[i - 1].last);
    }
  };
  ascends(stand_ins());
  ascends(nfc_inert());
}

TEST(Categories, NumbersSpacesAndWords) {
  for (const char32_t code : {U'0', U'9', U'\u0661', U'\u00b2', U'\u2167', U'\u00bd', U'\U00011f50', U'\U00011de1'}) {
    EXPECT_TRUE(is_numeric(code)) << static_cast<std::uint32_t>(code);
  }
  for (const char32_t code : {U'a', U' ', U'\u4e00', U'/', U':'}) EXPECT_FALSE(is_numeric(code));
  for (const char32_t code : {U' ', U'\t', U'\v', U'\u0085', U'\u00a0', U'\u1680', U'\u2028', U'\u3000'}) {
    EXPECT_TRUE(is_white_space(code)) << static_cast<std::uint32_t>(code);
  }
  for (const char32_t code : {U'\u200b', U'\u180e', U'\ufeff', U'\x1c', U'a'}) EXPECT_FALSE(is_white_space(code));
  for (const char32_t code : {U'a', U'_', U'5', U'\u0301', U'\u200d', U'\u24b6', U'\u4e00', U'\u203f', U'\u2167'}) {
    EXPECT_TRUE(is_word(code)) << static_cast<std::uint32_t>(code);
  }
  for (const char32_t code : {U'-', U' ', U'\u00b2', U'\u2019', U'\U0001f600'}) EXPECT_FALSE(is_word(code));
}

}  // namespace
}  // namespace kvpress
