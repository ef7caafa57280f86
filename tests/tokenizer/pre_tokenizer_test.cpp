#include "tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>

namespace kvpress {
namespace {

using Words = std::vector<std::string>;

template <typename... Steps>
Words words(std::string_view text, Steps... steps) {
  std::vector<PreTokenizerStep> list;
  (list.emplace_back(std::move(steps)), ...);
  Words out;
  PreTokenizer(std::move(list)).split(text, [&](std::string_view word) { out.emplace_back(word); });
  return out;
}

Words split_at_dashes(SplitBehavior behavior, bool invert = false) {
  return words("the-final--countdown", RegexSplit{Regex(invert ? "[a-z]+" : "-", "test"), behavior, invert});
}

TEST(PreTokenizer, Gpt2) {
  const auto gpt2 = [](std::string_view text) { return words(text, RegexSplit{Regex(kGpt2Pattern, "test")}); };
  EXPECT_EQ(gpt2("Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(gpt2("it's 2024!  \n x"), (Words{"it", "'s", " 2024", "!", "  \n", " x"}));
  EXPECT_EQ(gpt2("we'll 'RE"), (Words{"we", "'ll", " '", "RE"}));
  EXPECT_EQ(gpt2(""), Words{});
  EXPECT_EQ(gpt2("  "), Words{"  "});
}

TEST(PreTokenizer, WithoutStepsTheTextIsAWord) {
  EXPECT_EQ(words("a b"), Words{"a b"});
  EXPECT_EQ(words(""), Words{});
}

// The examples of the reference's documentation.
TEST(PreTokenizer, WhatBecomesOfAMatch) {
  EXPECT_EQ(split_at_dashes(SplitBehavior::removed), (Words{"the", "final", "countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::isolated), (Words{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::merged_with_previous), (Words{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::merged_with_next), (Words{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::contiguous), (Words{"the", "-", "final", "--", "countdown"}));
}

TEST(PreTokenizer, InvertedMatchesAreWhatLiesBetween) {
  EXPECT_EQ(split_at_dashes(SplitBehavior::removed, true), (Words{"the", "final", "countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::isolated, true), (Words{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split_at_dashes(SplitBehavior::merged_with_previous, true), (Words{"the-", "final--", "countdown"}));
}

TEST(PreTokenizer, Digits) {
  EXPECT_EQ(words("a12\u0663b", DigitsSplit{true}), (Words{"a", "1", "2", "\u0663", "b"}));
  EXPECT_EQ(words("a12\u0663b", DigitsSplit{false}), (Words{"a", "12\u0663", "b"}));
}

TEST(PreTokenizer, PrefixSpaceIsForEachPiece) {
  EXPECT_EQ(words("ab", PrefixSpace{}), Words{" ab"});
  EXPECT_EQ(words(" ab", PrefixSpace{}), Words{" ab"});
  EXPECT_EQ(words("a1", DigitsSplit{true}, PrefixSpace{}), (Words{" a", " 1"}));
}

TEST(PreTokenizer, SpaceSigns) {
  using Prefix = SpaceSigns::Prefix;
  EXPECT_EQ(words("ab  c", SpaceSigns{"_", Prefix::always, true}), (Words{"_ab", "_", "_c"}));
  EXPECT_EQ(words("ab  c", SpaceSigns{"_", Prefix::always, false}), Words{"_ab__c"});
  EXPECT_EQ(words(" ab", SpaceSigns{"_", Prefix::always, true}), Words{"_ab"});
  EXPECT_EQ(words("_ab", SpaceSigns{"_", Prefix::always, true}), Words{"_ab"});
  EXPECT_EQ(words("ab", SpaceSigns{"_", Prefix::never, true}), Words{"ab"});
  EXPECT_EQ(words("a1", DigitsSplit{true}, SpaceSigns{"_", Prefix::first, true}), (Words{"_a", "1"}));
  EXPECT_EQ(words("a1", DigitsSplit{true}, SpaceSigns{"_", Prefix::always, true}), (Words{"_a", "_1"}));
  EXPECT_EQ(words("a b1", SpaceSigns{"\u2581", Prefix::first, true}, DigitsSplit{true}),
            (Words{"\u2581a", "\u2581b", "1"}));
  std::vector<PreTokenizerStep> steps;
  steps.emplace_back(SpaceSigns{"_", Prefix::first, true});
  Words out;
  PreTokenizer(std::move(steps))
      .split(
          "ab", [&](std::string_view word) { out.emplace_back(word); }, false);
  EXPECT_EQ(out, Words{"ab"});
}

TEST(PreTokenizer, AStepSeesNothingAroundItsPiece) {
  EXPECT_EQ(words("ab cd", RegexSplit{Regex(" ", "test")}, RegexSplit{Regex("^.", "test")}),
            (Words{"a", "b", " ", "c", "d"}));
}

TEST(PreTokenizer, EmptyMatchesEndAndGiveNoEmptyWords) {
  EXPECT_EQ(words("a\u00e9b", RegexSplit{Regex("x*", "test")}), (Words{"a", "\u00e9", "b"}));
  EXPECT_EQ(words("ab", RegexSplit{Regex("$", "test"), SplitBehavior::removed}), Words{"ab"});
}

TEST(PreTokenizer, LongTextsTakeNoLonger) {
  const std::string spaces(1 << 20, ' ');
  EXPECT_EQ(words(spaces + "x", RegexSplit{Regex(kGpt2Pattern, "test")}).size(), 2u);
  EXPECT_EQ(words(std::string(1 << 20, '\n'), RegexSplit{Regex(kGpt2Pattern, "test")}).size(), 1u);
  EXPECT_EQ(words(std::string(1 << 20, 'a'), RegexSplit{Regex(kGpt2Pattern, "test")}).size(), 1u);
}

}  // namespace
}  // namespace kvpress
