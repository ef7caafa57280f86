#include "tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/mutations.h"
#include "tokenizer/pre_tokenizer.h"

namespace kvpress {
namespace {

using test::error_of;
using ::testing::HasSubstr;

/// The first match, or "none".
std::string first(std::string_view pattern, std::string_view text, std::size_t from = 0) {
  Regex::Match match{};
  if (!Regex(pattern, "x.json").find(text, from, match)) return "none";
  return std::string(text.substr(match.begin, match.end - match.begin));
}

TEST(Regex, FindsFromWhereItIsTold) {
  EXPECT_EQ(first("[0-9]+", "a12b345"), "12");
  EXPECT_EQ(first("[0-9]+", "a12b345", 3), "345");
  EXPECT_EQ(first("[0-9]+", "a12b345", 7), "none");
  EXPECT_EQ(first("x*", "abc", 3), "");
  EXPECT_EQ(first(R"((?<=a)b)", "ab", 1), "b");  // it sees what stands before
}

TEST(Regex, KnowsUnicode) {
  EXPECT_EQ(first(R"(\p{L}+)", "1 \u0448\u0430\u0433 2"), "\u0448\u0430\u0433");
  EXPECT_EQ(first(R"(\s+)", "a\u3000\u2003b"), "\u3000\u2003");
  EXPECT_EQ(first(R"(\d)", "a\u0661"), "\u0661");
  EXPECT_EQ(first("(?i:\u00e9)", "\u00c9"), "\u00c9");
  EXPECT_EQ(first(".", "\U0001f600"), "\U0001f600");
  EXPECT_EQ(first(R"(\x{e9})", "\u00e9"), "\u00e9");
}

TEST(Regex, LinesEndWithLineFeeds) {
  EXPECT_EQ(first(".+$", "a\r\nb"), "a\r");
  EXPECT_EQ(first("^b", "a\nb"), "b");
  EXPECT_EQ(first("^b", "a\rb"), "none");
}

TEST(Regex, LiteralTakesNothingForASign) {
  Regex::Match match{};
  EXPECT_TRUE(Regex::literal(".*[", "x").find("a.*[", 0, match));
  EXPECT_EQ(match.begin, 1u);
  EXPECT_FALSE(Regex::literal(".", "x").find("abc", 0, match));
}

TEST(Regex, RefusesWhatTheReferenceReadsOtherwise) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(\p{Han})", R"(\p{Han})"},
      {R"(\P{Alphabetic})", R"(\P{Alphabetic})"},
      {R"(\pL)", R"(\p{})"},
      {R"(\p{^L})", R"(\p{^L})"},
      {R"(\w+)", R"(\w)"},
      {R"(a\b)", R"(\b)"},
      {R"(\h)", R"(\h)"},
      {R"(\R)", R"(\R)"},
      {R"((a)\1)", R"(\1)"},
      {R"(\v)", R"(\v)"},
      {"[a[b]]", "a class within a class"},
      {"[[:alpha:]]", "a class within a class"},
      {"[a&&b]", "&& in a class"},
      {"[]a]", "an empty class"},
      {"[^]a]", "an empty class"},
      {"(?m)a", "(?m)"},
      {"(?<name>a)", "(?<n"},
      {"(?#note)", "(?#n"},
      {"(?s:.)", "(?s:"},
      {"(*UCP)a", "(*"},
      {"a{2}+", "}+"},
      {"a{,3}", "{,"},
  };
  for (const auto& [pattern, what] : cases) {
    EXPECT_EQ(error_of([&, p = pattern] { Regex(p, "x.json"); }),
              fmt::format("x.json: the regular expression {} uses {}, which is not supported", pattern, what));
  }
}

TEST(Regex, NamesWhatDoesNotCompile) {
  for (const char* pattern : {"(", "a)", "[a", "*a", "a\\", "(?=", R"(\p{L)", "[z-a]", R"(\x{110000})"}) {
    const std::string message = error_of([&] { Regex(pattern, "x.json"); });
    EXPECT_EQ(message.rfind("x.json: the regular expression ", 0), 0u) << message;
  }
  EXPECT_THAT(error_of([] { Regex("a\xff", "x.json"); }), HasSubstr("does not compile"));
  EXPECT_THAT(error_of([] { Regex(std::string(300000, '('), "x.json"); }), HasSubstr("does not compile"));
}

TEST(Regex, GivesUpWhereItWouldTakeForEver) {
  const Regex regex("^(?:a|aa|aaa)+$", "x.json");
  Regex::Match match{};
  EXPECT_THAT(error_of([&] { regex.find(std::string(200, 'a') + "!", 0, match); }),
              HasSubstr("text cannot be split by the tokenizer's regular expression"));
}

TEST(Regex, SurvivesAnyPattern) {
  const std::string pattern(kGpt2Pattern);
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    const std::string bad = test::damaged(pattern, random);
    const std::string message = error_of([&] {
      const Regex regex(bad, "x.json");
      Regex::Match match{};
      regex.find("It's 12  \u00e9t\u00e9s \n", 0, match);
    });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 500u);
  }
}

}  // namespace
}  // namespace kvpress
