#include "tokenizer/normalizer.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

template <typename... Steps>
std::string normalized(std::string_view text, Steps... steps) {
  Normalizer normalizer;
  (normalizer.add(std::move(steps)), ...);
  std::string storage;
  return std::string(normalizer.apply(text, storage));
}

ReplaceText replace(std::string_view pattern, std::string content) {
  return {Regex(pattern, "test"), std::move(content)};
}

TEST(Normalizer, WithoutStepsItIsTheTextItself) {
  const Normalizer normalizer;
  std::string storage;
  const std::string_view text = "a  b";
  EXPECT_EQ(normalizer.apply(text, storage).data(), text.data());
  EXPECT_EQ(normalizer.description(), "");
}

TEST(Normalizer, Steps) {
  EXPECT_EQ(normalized("e\u0301", NormalForm::nfc), "\u00e9");
  EXPECT_EQ(normalized("\u00e9\ufb01", NormalForm::nfd), "e\u0301\ufb01");
  EXPECT_EQ(normalized("\u00e9\ufb01", NormalForm::nfkd), "e\u0301fi");
  EXPECT_EQ(normalized("e\u0301\ufb01", NormalForm::nfkc), "\u00e9fi");
  EXPECT_EQ(normalized("AbC \u00c4\u0130\u03a3", Lowercase{}), "abc \u00e4i\u0307\u03c3");
  EXPECT_EQ(normalized(" \u3000a b\u2003 ", StripSpace{true, false}), "a b\u2003 ");
  EXPECT_EQ(normalized(" \u3000a b\u2003 ", StripSpace{false, true}), " \u3000a b");
  EXPECT_EQ(normalized(" \n\t ", StripSpace{true, true}), "");
  EXPECT_EQ(normalized("a", PrependText{"_"}), "_a");
  EXPECT_EQ(normalized("", PrependText{"_"}), "");
  EXPECT_EQ(normalized("a  b", replace(" ", "_")), "a__b");
}

TEST(Normalizer, OneStepAfterAnother) {
  EXPECT_EQ(normalized("  A  B ", StripSpace{true, true}, PrependText{" "}, Lowercase{}, replace(" +", "_")), "_a_b");
}

TEST(Normalizer, EmptyMatches) {
  EXPECT_EQ(normalized("ab", replace("^", "_")), "_ab");
  EXPECT_EQ(normalized("ab", replace("", "_")), "_a_b_");
  EXPECT_EQ(normalized("xaax", replace("a*", "_")), "_x_x_");
}

TEST(Normalizer, RulesOfSentencePiece) {
  const auto spaces = [](bool prefix, bool suffix, bool remove, bool escape) {
    SentencePieceRules rules;
    rules.add_prefix = prefix;
    rules.prefix_is_suffix = suffix;
    rules.remove_extra_spaces = remove;
    rules.escape_spaces = escape;
    return rules;
  };
  EXPECT_EQ(normalized("  a  b ", spaces(true, false, true, false)), " a b");
  EXPECT_EQ(normalized("  a  b ", spaces(true, true, true, false)), "a b ");
  EXPECT_EQ(normalized("  a  b ", spaces(true, false, false, false)), "   a  b ");
  EXPECT_EQ(normalized("  a  b ", spaces(false, false, true, false)), "a b");
  EXPECT_EQ(normalized(" a", spaces(false, false, false, true)), "\u2581a");
  EXPECT_EQ(normalized("", spaces(true, false, true, true)), "");
  EXPECT_EQ(normalized("   ", spaces(true, false, true, true)), "");
}

TEST(Normalizer, OnlyTheBeginningGetsAPrefix) {
  Normalizer normalizer;
  normalizer.add(SentencePieceRules{});
  std::string storage;
  bool is_first = true;
  EXPECT_EQ(normalizer.apply("a b", storage, is_first), "\u2581a\u2581b");
  is_first = false;
  EXPECT_EQ(normalizer.apply("a b", storage, is_first), "a\u2581b");
}

TEST(Normalizer, WhoseBeginningIsRemovedIsNoBeginning) {
  const auto is_first = [](std::string_view text, auto step) {
    Normalizer normalizer;
    normalizer.add(std::move(step));
    std::string storage;
    bool first = true;
    normalizer.apply(text, storage, first);
    return first;
  };
  EXPECT_TRUE(is_first("a ", StripSpace{true, true}));
  EXPECT_FALSE(is_first(" a", StripSpace{true, true}));
  EXPECT_TRUE(is_first(" a", StripSpace{false, true}));
  EXPECT_FALSE(is_first("ab", replace("a", "")));
  EXPECT_TRUE(is_first("ab", replace("b", "")));
  EXPECT_TRUE(is_first("ab", replace("a", "b")));
}

TEST(Normalizer, Description) {
  Normalizer normalizer;
  normalizer.add(PrependText{"_"});
  normalizer.add(NormalForm::nfkc);
  normalizer.add(Lowercase{});
  EXPECT_EQ(normalizer.description(), "NFKC, lower case");
}

}  // namespace
}  // namespace kvpress
