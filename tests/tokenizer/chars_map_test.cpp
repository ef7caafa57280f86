#include "tokenizer/chars_map.h"

#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "formats/mutations.h"
#include "test_data.h"
#include "tokenizer/sentencepiece_model.h"

namespace kvpress {
namespace {

/// The rules that tools/make_sentencepiece_references.py has SentencePiece compile.
const std::string& blob() {
  static const std::string bytes = [] {
    const std::string path = (test::data_dir() / "tokenizer/sentencepiece/unigram.model").string();
    return read_sentencepiece_model(read_file(path), path).chars_map;
  }();
  return bytes;
}

std::string rule(const std::optional<CharsMap::Rule>& found) {
  return found ? std::to_string(found->length) + ":" + std::string(found->text) : "none";
}

TEST(CharsMap, FindsTheLongestAndTheShortest) {
  const CharsMap map(blob(), "test");
  EXPECT_EQ(rule(map.longest("\u00c4x")), "2:A\u0308");
  EXPECT_EQ(rule(map.longest("e\u0301")), "3:E");
  EXPECT_EQ(rule(map.longest("ex")), "none");
  EXPECT_EQ(rule(map.longest("\u00ad")), "2:");
  EXPECT_EQ(rule(map.longest("\uff11")), "3:1");
  EXPECT_EQ(rule(map.longest("\U0001f468\u200d\U0001f469")), "11:!");
  EXPECT_EQ(rule(map.longest("\U0001f468")), "none");
  EXPECT_EQ(rule(map.longest("")), "none");
  EXPECT_EQ(rule(map.shortest("\u2003")), "3:  ");
  EXPECT_TRUE(CharsMap().empty());
  EXPECT_EQ(rule(CharsMap().longest("a")), "none");
}

TEST(CharsMap, SurvivesDamage) {
  std::mt19937 random(1);
  int n_read = 0;
  for (int n = 0; n < 3000; ++n) {
    std::string bytes = blob();
    for (unsigned i = 0; i < 1 + random() % 40; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const std::string message = test::error_of([&] {
      const CharsMap map(bytes, "test");
      for (const char* text : {"\u00c4", "e\u0301", "\uff11\uff12", "\U0001f468\u200d\U0001f469", "\t"}) {
        rule(map.longest(text));
        rule(map.shortest(text));
      }
      ++n_read;
    });
    EXPECT_TRUE(message == "no error" || message.starts_with("test: precompiled_charsmap ")) << message;
  }
  EXPECT_GT(n_read, 100);
}

}  // namespace
}  // namespace kvpress
