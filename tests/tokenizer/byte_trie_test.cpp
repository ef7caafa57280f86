#include "tokenizer/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace kvpress {
namespace {

using Found = std::vector<std::pair<std::size_t, std::int32_t>>;

Found prefixes(const ByteTrie& trie, std::string_view text, std::size_t at = 0) {
  Found found;
  trie.for_each_prefix(text, at, [&](std::size_t length, std::int32_t value) { found.emplace_back(length, value); });
  return found;
}

TEST(ByteTrie, FindsWhatATextBeginsWith) {
  const ByteTrie trie({{"ab", 1}, {"abcd", 2}, {"b", 3}, {"", 4}, {"\xff", 5}, {"ab", 6}});
  EXPECT_EQ(prefixes(trie, "abcde"), (Found{{2, 6}, {4, 2}}));
  EXPECT_EQ(prefixes(trie, "abcde", 1), (Found{{1, 3}}));
  EXPECT_EQ(prefixes(trie, "abc"), (Found{{2, 6}}));
  EXPECT_EQ(prefixes(trie, "\xff\xff"), (Found{{1, 5}}));
  EXPECT_EQ(prefixes(trie, ""), Found{});
  EXPECT_EQ(prefixes(trie, "a", 1), Found{});
  EXPECT_EQ(trie.longest_prefix("xabcdx", 1), 4u);
  EXPECT_EQ(trie.longest_prefix("xabcdx", 0), 0u);
}

TEST(ByteTrie, WithoutStrings) {
  EXPECT_TRUE(ByteTrie().empty());
  EXPECT_TRUE(ByteTrie({{"", 1}}).empty());
  EXPECT_EQ(ByteTrie().longest_prefix("a", 0), 0u);
  EXPECT_FALSE(ByteTrie({{"a", 0}}).empty());
}

TEST(ByteTrie, IsAMapOfPrefixes) {
  std::mt19937 random(1);
  const auto word = [&](std::size_t longest) {
    std::string text(1 + random() % longest, '\0');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? 0xc0 + random() % 64 : 'a' + random() % 3);
    return text;
  };
  std::map<std::string, std::int32_t> map;
  for (std::int32_t i = 0; i < 3000; ++i) map[word(6)] = i;
  const ByteTrie trie({map.begin(), map.end()});
  for (int n = 0; n < 3000; ++n) {
    const std::string text = word(9);
    Found want;
    for (std::size_t length = 1; length <= text.size(); ++length) {
      if (const auto it = map.find(text.substr(0, length)); it != map.end()) want.emplace_back(length, it->second);
    }
    EXPECT_EQ(prefixes(trie, text), want);
  }
}

}  // namespace
}  // namespace kvpress
