#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace kvpress {
namespace {

using Ids = std::vector<std::int32_t>;
using Pair = std::pair<std::int32_t, std::int32_t>;

/// An encoder of the letters a to d and random merges, and the same said plainly.
class Random {
 public:
  explicit Random(unsigned seed, int n_merges) : random_(seed) {
    for (std::int32_t i = 0; i < 4; ++i) encoder_.set_byte(static_cast<unsigned char>('a' + i), i);
    for (std::int32_t id = 4; id < 4 + n_merges; ++id) {
      const Pair pair{below(id), below(id)};
      const auto rank = static_cast<std::int32_t>(id - 4);
      if (!merges_.emplace(pair, Pair{rank, id}).second) continue;
      encoder_.add_merge(pair.first, pair.second, rank, id);
    }
  }

  std::string word(std::size_t n) {
    std::string text(n, '\0');
    for (char& c : text) c = static_cast<char>('a' + below(4));
    return text;
  }
  Ids encode(std::string_view word) {
    Ids ids;
    encoder_.encode(word, cache_, ids);
    return ids;
  }
  /// Merges the first pair of the lowest rank until none is left.
  Ids plainly(std::string_view word) const {
    Ids ids;
    for (const char c : word) ids.push_back(c - 'a');
    for (;;) {
      std::size_t best = ids.size();
      Pair what{};
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = merges_.find({ids[i], ids[i + 1]});
        if (found == merges_.end() || (best < ids.size() && found->second.first >= what.first)) continue;
        best = i;
        what = found->second;
      }
      if (best == ids.size()) return ids;
      ids[best] = what.second;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }

 private:
  std::int32_t below(std::int32_t n) { return static_cast<std::int32_t>(random_() % static_cast<unsigned>(n)); }

  std::mt19937 random_;
  BytePairEncoder encoder_;
  WordCache cache_;
  std::map<Pair, Pair> merges_;
};

TEST(BytePairEncoder, MergesAsThePlainRuleSays) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Random random(seed, 5 + static_cast<int>(seed) * 10);
    for (std::size_t n = 0; n < 140; ++n) {
      const std::string word = random.word(n);
      const Ids want = random.plainly(word);
      EXPECT_EQ(random.encode(word), want) << seed << " " << word;
      EXPECT_EQ(random.encode(word), want) << "from the cache";
    }
  }
}

TEST(BytePairEncoder, TheCacheForgetsAndGoesOn) {
  Random random(7, 60);
  for (int n = 0; n < 100'000; ++n) {  // more than it holds
    const std::string word = random.word(10 + static_cast<std::size_t>(n) % 4);
    const Ids ids = random.encode(word);
    if (n % 500 == 0) {
      EXPECT_EQ(ids, random.plainly(word));
    }
  }
}

TEST(BytePairEncoder, LeavesOutBytesWithoutAToken) {
  BytePairEncoder encoder;
  encoder.set_byte('a', 0);
  encoder.set_byte('b', 1);
  encoder.add_merge(0, 1, 0, 2);
  WordCache cache;
  Ids ids;
  encoder.encode("axb", cache, ids);
  EXPECT_EQ(ids, Ids{2});
  encoder.encode(std::string(100, 'x'), cache, ids);
  encoder.encode("xyz", cache, ids);
  encoder.encode("", cache, ids);
  EXPECT_EQ(ids, Ids{2});
}

TEST(BytePairEncoder, APairAddedAgainHasItsNewRank) {
  BytePairEncoder encoder;
  encoder.set_byte('a', 0);
  encoder.set_byte('b', 1);
  encoder.add_merge(0, 1, 0, 2);
  encoder.add_merge(1, 0, 1, 3);
  encoder.add_merge(0, 1, 2, 2);
  WordCache cache;
  Ids ids;
  encoder.encode("aba", cache, ids);
  EXPECT_EQ(ids, (Ids{0, 3}));
}

/// Of the characters a, b, c and é, and random merges.
BytePairEncoder of_characters(unsigned seed, bool with_joints) {
  constexpr char32_t kCodes[] = {'a', 'b', 'c', 0xe9};
  std::mt19937 random(seed);
  std::vector<std::u32string> tokens;
  BytePairEncoder encoder;
  encoder.use_characters();
  for (std::int32_t i = 0; i < 4; ++i) {
    encoder.set_character(kCodes[i], i);
    tokens.emplace_back(1, kCodes[i]);
  }
  for (std::int32_t id = 4; id < 12; ++id) {
    const auto left = static_cast<std::int32_t>(random() % static_cast<unsigned>(id));
    const auto right = static_cast<std::int32_t>(random() % static_cast<unsigned>(id));
    tokens.push_back(tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)]);
    encoder.add_merge(left, right, id, id);
    if (with_joints) {
      encoder.add_joint(tokens[static_cast<std::size_t>(left)].back(), tokens[static_cast<std::size_t>(right)].front());
    }
  }
  encoder.set_byte_token('y', 20);
  encoder.set_unknown(21, true);
  return encoder;
}

Ids encode_once(const BytePairEncoder& encoder, std::string_view word) {
  WordCache cache;
  Ids ids;
  encoder.encode(word, cache, ids);
  return ids;
}

TEST(BytePairEncoder, LongWordsAreCutWhereNoMergeJoins) {
  constexpr const char* kCharacters[] = {"a", "b", "c", "\u00e9", "x", "y"};  // x and y have no id
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 60; ++seed) {
    const BytePairEncoder cut = of_characters(seed, true);
    const BytePairEncoder whole = of_characters(seed, false);
    std::string word;
    for (int n = 0; n < 300; ++n) word += kCharacters[random() % std::size(kCharacters)];
    EXPECT_EQ(encode_once(cut, word), encode_once(whole, word)) << seed;
  }
}

TEST(BytePairEncoder, CharactersWithoutATokenMayBePartOfOne) {
  BytePairEncoder encoder;
  encoder.use_characters();
  encoder.set_character('a', 0);
  encoder.set_character(0xe9, 5);  // é
  encoder.set_character('z', 6);
  encoder.set_tokenless(5, {0xe9, 'z'});
  encoder.add_merge(0, 5, 0, 1);
  encoder.set_byte_token(0xc3, 2);
  encoder.set_byte_token(0xa9, 3);
  encoder.set_unknown(4, true);
  EXPECT_EQ(encode_once(encoder, "a\u00e9"), Ids{1});
  EXPECT_EQ(encode_once(encoder, "\u00e9a"), (Ids{2, 3, 0}));
  EXPECT_EQ(encode_once(encoder, "zxza"), (Ids{4, 0}));
}

TEST(BytePairEncoder, LongWordsDoNotTakeForEver) {
  BytePairEncoder encoder;
  encoder.set_byte('a', 0);
  for (std::int32_t i = 0; i < 20; ++i) encoder.add_merge(i, i, i, i + 1);
  WordCache cache;
  Ids ids;
  encoder.encode(std::string(1 << 20, 'a'), cache, ids);
  EXPECT_EQ(ids, Ids{20});
}

}  // namespace
}  // namespace kvpress
