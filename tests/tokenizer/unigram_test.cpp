#include "tokenizer/unigram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace kvpress {
namespace {

using Ids = std::vector<std::int32_t>;

Ids encode(const UnigramEncoder& encoder, std::string_view word) {
  Ids ids;
  encoder.encode(word, ids);
  return ids;
}

/// The largest sum of scores of all ways to cut `word` into pieces.
double best_score(const std::vector<UnigramPiece>& pieces, std::string_view word) {
  std::vector<double> best(word.size() + 1, -std::numeric_limits<double>::infinity());
  best[0] = 0;
  for (std::size_t end = 1; end <= word.size(); ++end) {
    for (const UnigramPiece& piece : pieces) {
      if (!word.substr(0, end).ends_with(piece.text)) continue;
      best[end] = std::max(best[end], best[end - piece.text.size()] + piece.score);
    }
  }
  return best.back();
}

TEST(Unigram, FindsTheBestOfAllWays) {
  std::mt19937 random(1);
  std::vector<std::string> texts;
  std::vector<UnigramPiece> pieces;
  for (char c = 'a'; c < 'd'; ++c) texts.emplace_back(1, c);
  for (int n = 0; n < 40; ++n) {
    std::string text(2 + random() % 4, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  }
  for (const std::string& text : texts) pieces.push_back({text, -static_cast<double>(random() % 1000) / 100});
  const UnigramEncoder encoder(pieces, UnigramKind::tokenizers, std::nullopt);
  for (int n = 0; n < 500; ++n) {
    std::string word(random() % 30, 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % 3);
    std::string joined;
    double score = 0;
    for (const std::int32_t id : encode(encoder, word)) {
      joined += pieces[static_cast<std::size_t>(id)].text;
      score += pieces[static_cast<std::size_t>(id)].score;
    }
    EXPECT_EQ(joined, word);
    EXPECT_NEAR(score, best_score(pieces, word), 1e-9) << word;  // sums in another order
  }
}

TEST(Unigram, WhatIsUnknown) {
  const std::vector<UnigramPiece> pieces = {{"<unk>", 0}, {"a", -1}, {"\u00e9\u00e9", -30}};
  UnigramEncoder of_tokenizers(pieces, UnigramKind::tokenizers, 0);
  EXPECT_EQ(encode(of_tokenizers, "axyza"), (Ids{1, 0, 1}));
  // Two unknown characters score -80 together, but what they are together is a token.
  EXPECT_EQ(encode(of_tokenizers, "\u00e9\u00e9"), Ids{2});
  EXPECT_EQ(encode(of_tokenizers, "<unk>x"), Ids{0});
  of_tokenizers.set_byte_token('x', 2);
  EXPECT_EQ(encode(of_tokenizers, "axa"), (Ids{1, 2, 1}));
  EXPECT_EQ(encode(of_tokenizers, "axya"), (Ids{1, 0, 1}));  // not all of its bytes are tokens
  UnigramEncoder of_sentencepiece({{"<unk>", 0, false, true}, {"a", -1}}, UnigramKind::sentencepiece, 0);
  EXPECT_EQ(encode(of_sentencepiece, "axya"), (Ids{1, 0, 1}));
  EXPECT_EQ(encode(of_sentencepiece, "<unk>"), Ids{0});  // as text
}

TEST(Unigram, UserDefinedPiecesAreAlwaysChosen) {
  const std::vector<UnigramPiece> pieces = {
      {"<unk>", 0, false, true}, {"a", -3}, {"b", -3}, {"ab", -50, true}, {"abab", -0.001}};
  const UnigramEncoder encoder(pieces, UnigramKind::sentencepiece, 0);
  EXPECT_EQ(encode(encoder, "aab"), (Ids{1, 3}));
  EXPECT_EQ(encode(encoder, "abab"), Ids{4});  // but for a piece that scores more than both
}

TEST(Unigram, LongWordsTakeNoLonger) {
  std::vector<std::string> texts;
  std::vector<UnigramPiece> pieces;
  for (std::size_t n = 1; n <= 16; ++n) texts.emplace_back(n, 'a');
  for (const std::string& text : texts) pieces.push_back({text, -1});
  const UnigramEncoder encoder(pieces, UnigramKind::tokenizers, std::nullopt);
  EXPECT_EQ(encode(encoder, std::string(1 << 20, 'a')).size(), std::size_t{1} << 16);
}

}  // namespace
}  // namespace kvpress
