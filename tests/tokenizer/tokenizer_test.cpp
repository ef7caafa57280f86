#include "kvpress/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <thread>

#include "tokenizer/references.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

using test::Ids;

const Tokenizer& neox() {
  static const Tokenizer tokenizer = Tokenizer::from_json(test::data_dir() / "tokenizer/gpt-neox-20b.json");
  return tokenizer;
}
const Tokenizer& demo() {
  static const Tokenizer tokenizer = Tokenizer::from_json(test::project_dir() / "models/kvpress-demo/tokenizer.json");
  return tokenizer;
}

/// Valid UTF-8 of every script, with words and spaces in between.
std::string random_text(std::mt19937& random) {
  constexpr char32_t kEnds[] = {0x80, 0x250, 0x3000, 0x11000, 0x110000};
  std::string text;
  for (std::size_t n = random() % 30; n > 0; --n) {
    char32_t code = random() % kEnds[random() % std::size(kEnds)];
    if (code >= 0xd800 && code < 0xe000) code = ' ';
    append_utf8(text, code);
    if (random() % 3 == 0) text += " the\n";
  }
  return text;
}

TEST(Tokenizer, DecodingGivesBackWhatWasEncoded) {
  std::mt19937 random(1);
  for (int n = 0; n < 5000; ++n) {
    const std::string text = random_text(random);
    std::string storage;
    EXPECT_EQ(demo().decode(demo().encode(text)), text);
    EXPECT_EQ(neox().decode(neox().encode(text)), to_nfc(text, storage));
  }
}

TEST(Tokenizer, EveryCodePointComesBack) {
  std::string text;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code < 0xd800 || code >= 0xe000) append_utf8(text, code);
  }
  EXPECT_EQ(demo().decode(demo().encode(text)), text);
}

TEST(Tokenizer, BytesThatAreNoTextAreReadAsTheReplacementCharacter) {
  std::mt19937 random(2);
  for (int n = 0; n < 3000; ++n) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 2 == 0 ? random() : 0x80 + random() % 0x80);
    std::string storage;
    const std::string valid(to_valid_utf8(bytes, storage));
    EXPECT_EQ(demo().encode(bytes), demo().encode(valid));
    EXPECT_EQ(demo().decode(demo().encode(bytes)), valid);
    EXPECT_EQ(neox().encode(bytes), neox().encode(valid));
  }
  EXPECT_EQ(neox().decode(neox().encode("a\xff\xfe")), "a\uFFFD\uFFFD");
}

TEST(Tokenizer, ZeroBytesAreText) {
  const std::string text("a\0b\0\0c", 6);
  EXPECT_EQ(neox().decode(neox().encode(text)), text);
}

TEST(Tokenizer, SpecialTokensInTheText) {
  EXPECT_EQ(neox().encode("<|endoftext|>"), Ids{0});
  const Ids ids = neox().encode("Hi<|endoftext|><|padding|> there");
  EXPECT_EQ(std::vector<std::int32_t>(ids.begin() + 1, ids.begin() + 3), (Ids{0, 1}));
  EXPECT_EQ(neox().decode(ids), "Hi there");
  EXPECT_EQ(neox().decode(ids, false), "Hi<|endoftext|><|padding|> there");
  EXPECT_GT(neox().encode("<|endoftext|").size(), 1u);
  EXPECT_EQ(neox().id_of("<|padding|>"), 1);
  EXPECT_EQ(neox().id_of("\u0120the"), 253);
  EXPECT_EQ(neox().id_of("no such token"), std::nullopt);
}

TEST(Tokenizer, AddedTokensThatAreNotSpecialAreDecoded) {
  const Ids ids = neox().encode("a" + std::string(24, ' ') + "b");
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[1], 50254);
  EXPECT_EQ(neox().decode(ids), "a" + std::string(24, ' ') + "b");
}

TEST(Tokenizer, DecodesAnyIds) {
  EXPECT_EQ(neox().decode(Ids{}), "");
  EXPECT_EQ(neox().decode(Ids{-1, 50277, 1 << 30, std::numeric_limits<std::int32_t>::min()}), "");
  std::mt19937 random(3);
  Ids ids;
  for (int n = 0; n < 10000; ++n) ids.push_back(static_cast<std::int32_t>(random() % 60000) - 1000);
  std::string one_by_one;
  for (const std::int32_t id : ids) one_by_one += neox().decode(Ids{id});
  EXPECT_EQ(neox().decode(ids), one_by_one);
}

TEST(Tokenizer, AWordsBytesMayBeOfTwoTokens) {
  const std::string text = "\U00013000";  // rare enough to be written byte by byte
  const Ids ids = demo().encode(text);
  ASSERT_GT(ids.size(), 1u);
  std::string joined;
  for (const std::int32_t id : ids) joined += demo().decode(Ids{id});
  EXPECT_EQ(joined, text);
  EXPECT_FALSE(demo().decode(Ids{ids[0]}).empty());
}

TEST(Tokenizer, ThreadsShareIt) {
  const std::string text = load_texts({(test::project_dir() / "data/pg19/test.jsonl").string(), "", "", 0}).texts[0];
  const Ids want = demo().encode(text);
  std::vector<Ids> got(6);
  {
    std::vector<std::jthread> threads;
    for (Ids& ids : got) threads.emplace_back([&] { ids = demo().encode(text); });
  }
  for (const Ids& ids : got) EXPECT_EQ(ids, want);
}

TEST(Tokenizer, MonotonousTextsTakeNoLonger) {
  for (const char* piece : {"a", " ", "\n", "\t", "1", "!", "\u00e9", "\u4e2d", "\u0301", "e\u0301", "'s", "\xff"}) {
    std::string text;
    while (text.size() < 300'000) text += piece;
    std::string valid;
    std::string normal;
    EXPECT_EQ(neox().decode(neox().encode(text)), to_nfc(to_valid_utf8(text, valid), normal)) << piece;
  }
}

TEST(Tokenizer, Moves) {
  Tokenizer one = test::from_document(test::small_json());
  const Ids ids = one.encode("the text");
  Tokenizer two = std::move(one);
  EXPECT_EQ(two.encode("the text"), ids);
  one = std::move(two);
  EXPECT_EQ(one.encode("the text"), ids);
}

}  // namespace
}  // namespace kvpress
