// Stop strings, and texts that grow token by token.
#include "serve/answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kvpress::serve {
namespace {

std::string shown(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
                  bool* stopped = nullptr) {
  StopStrings text(stops);
  std::string all;
  for (const std::string& it : pieces) all += text.take(it);
  if (stopped != nullptr) *stopped = text.stopped();
  return all + text.finish();
}

TEST(StopStrings, EndTheTextBeforeThem) {
  bool stopped = false;
  EXPECT_EQ(shown({"END"}, {"one ", "EN", "D two"}, &stopped), "one ");
  EXPECT_TRUE(stopped);
  EXPECT_EQ(shown({"END"}, {"one ", "EN", "T two"}, &stopped), "one ENT two");
  EXPECT_FALSE(stopped);
  EXPECT_EQ(shown({"b", "abc"}, {"x", "a", "b", "c"}), "xa");
  EXPECT_EQ(shown({"abc", "b"}, {"xabcb"}), "xa") << "the one that ends first counts";
  EXPECT_EQ(shown({"\n"}, {"\nmore"}), "");
  EXPECT_EQ(shown({}, {"a", "b"}), "ab");
}

TEST(StopStrings, HoldBackOnlyWhatMayBegin) {
  StopStrings text({"</s>", "##"});
  EXPECT_EQ(text.take("a<"), "a");
  EXPECT_EQ(text.take("b#"), "<b");
  EXPECT_EQ(text.take("c</s"), "#c");
  EXPECT_EQ(text.finish(), "</s");
}

TEST(StopStrings, MayOverlapThemselves) { EXPECT_EQ(shown({"aab"}, {"a", "a", "a", "b", "c"}), "a"); }

TEST(Answer, HandsOverPiecesThenTheEnd) {
  Answer answer(2);
  answer.push({0, "a", {}, "", 0, 0});
  answer.end_job({.prompt_tokens = 3, .new_tokens = 1});
  Piece piece;
  EXPECT_EQ(answer.next(piece, std::chrono::milliseconds(1)), Answer::Next::piece);
  EXPECT_EQ(piece.text, "a");
  EXPECT_EQ(answer.next(piece, std::chrono::milliseconds(1)), Answer::Next::nothing_yet);
  answer.end_job({.prompt_tokens = 4, .new_tokens = 2});
  EXPECT_EQ(answer.next(piece, std::chrono::milliseconds(1)), Answer::Next::end);
  EXPECT_EQ(answer.usage().prompt_tokens, 7);
  EXPECT_EQ(answer.usage().new_tokens, 3);
  answer.fail(std::make_exception_ptr(Error("no")));
  EXPECT_THROW(answer.next(piece, std::chrono::milliseconds(1)), Error);
}

}  // namespace
}  // namespace kvpress::serve
