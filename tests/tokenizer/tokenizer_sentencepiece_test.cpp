// Which models of SentencePiece are read, what the files beside them add, and how others are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/references.h"

namespace kvpress {
namespace {

using test::Ids;
using Type = SentencePieceModel::Type;
using ::testing::HasSubstr;

// A protocol buffer, written by hand.
std::string number(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string text_field(int field, const std::string& text) {
  return number(static_cast<std::uint64_t>(field) << 3 | 2) + number(text.size()) + text;
}
std::string number_field(int field, std::uint64_t value) {
  return number(static_cast<std::uint64_t>(field) << 3) + number(value);
}
std::string piece(const std::string& text, float score, Type type) {
  std::string bytes = text_field(1, text) + number(2 << 3 | 5);
  test::GgufBuilder::put(bytes, score);
  return text_field(1, bytes + number_field(3, static_cast<std::uint64_t>(type)));
}
/// <unk>, <s>, </s> and letters; a model of BPE.
std::string letters() {
  return piece("<unk>", 0, Type::unknown) + piece("<s>", 0, Type::control) + piece("</s>", 0, Type::control) +
         piece("\u2581", -1, Type::normal) + piece("a", -2, Type::normal) + piece("b", -3, Type::normal);
}
const std::string kBpe = text_field(2, number_field(3, 2));

std::string error(const std::string& bytes) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tokenizer.model", bytes);
  const std::string text = test::error_of([&] { Tokenizer::from_file(path); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

TEST(TokenizerSentencePiece, TokensAroundATextAreSaidBeside) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tokenizer.model", letters() + kBpe);
  const auto encoded = [&](const char* config) {
    if (config != nullptr) folder.file("tokenizer_config.json", config);
    return Tokenizer::from_file(path).encode("ab", BosChoice::automatic);
  };
  EXPECT_EQ(encoded(nullptr), (Ids{1, 3, 4, 5}));
  EXPECT_EQ(encoded(R"({"add_bos_token":false})"), (Ids{3, 4, 5}));
  EXPECT_EQ(encoded(R"({"add_eos_token":true})"), (Ids{1, 3, 4, 5, 2}));
  EXPECT_EQ(encoded(R"({"bos_token":"b","add_bos_token":null})"), (Ids{5, 3, 4, 5}));
  EXPECT_THAT(test::error_of([&] { encoded(R"({"add_bos_token":"yes"})"); }),
              HasSubstr("tokenizer_config.json: add_bos_token must be true or false"));
}

TEST(TokenizerSentencePiece, TokensOfTheFilesBeside) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tokenizer.model", letters() + kBpe);
  folder.file("tokenizer_config.json",
              R"({"added_tokens_decoder":{"6":{"content":"<|user|>","special":true}},"eos_token":"<|user|>"})");
  const Tokenizer tokenizer = Tokenizer::from_file(path);
  EXPECT_EQ(tokenizer.vocab_size(), 7);
  EXPECT_EQ(tokenizer.eos_id(), 6);
  EXPECT_EQ(tokenizer.encode("a<|user|>b</s>"), (Ids{3, 4, 6, 5, 2}));  // a space only where the text begins
  EXPECT_EQ(tokenizer.decode(Ids{3, 4, 6, 5}), "ab");
}

TEST(TokenizerSentencePiece, CharactersThatAreNoPieceButPartOfOne) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tokenizer.model", letters() + piece("xy", -9, Type::normal) + kBpe);
  const Tokenizer tokenizer = Tokenizer::from_file(path);
  EXPECT_EQ(tokenizer.encode("xy"), (Ids{3, 6}));
  EXPECT_EQ(tokenizer.encode("axybx"), (Ids{3, 4, 6, 5, 0}));
  EXPECT_EQ(tokenizer.encode("azxa"), (Ids{3, 4, 0, 4}));  // neighbouring unknown ones are one
}

TEST(TokenizerSentencePiece, OthersAreNamed) {
  EXPECT_EQ(error(letters() + kBpe), "no error");
  EXPECT_EQ(error(""), "has no pieces; it is no model of SentencePiece");
  EXPECT_EQ(error("{}"), "is no model of SentencePiece, or damaged");
  EXPECT_EQ(error(letters() + text_field(2, number_field(3, 3))),
            "model_type 3 is not supported; supported: 1 (Unigram), 2 (BPE)");
  EXPECT_EQ(error(letters() + piece("a", 0, Type::normal)), "piece a appears twice");
  EXPECT_EQ(error(letters() + piece("", 0, Type::normal)), "piece 6 is empty");
  EXPECT_EQ(error(letters() + piece("\xff", 0, Type::normal)), "piece 6 is not valid UTF-8");
  EXPECT_EQ(error(letters() + piece("c", -INFINITY, Type::normal)), "piece 6 has a score that is not finite");
  EXPECT_EQ(error(letters() + piece("c", 0, static_cast<Type>(7))), "piece 6 is of type 7; types are 1 to 6");
  EXPECT_EQ(error(letters() + piece("c", 0, Type::unknown)), "two pieces are of type 2 (unknown)");
  EXPECT_EQ(error(piece("c", 0, Type::normal)), "no piece is of type 2 (unknown); one is needed");
  EXPECT_EQ(error(letters() + piece("c", 0, Type::unused) + kBpe),
            "piece 6 is of type 5 (unused), which is not supported of BPE");
  EXPECT_EQ(error(letters() + piece("c", 0, Type::unused)), "no error");
  EXPECT_EQ(error(letters() + piece("<0x41>", 0, Type::byte)),
            "byte_fallback is false, but 1 pieces are of type 6 (byte)");
  EXPECT_EQ(error(letters() + text_field(5, text_field(2, "x"))), "denormalizer_spec is not supported");
  EXPECT_EQ(error(letters() + text_field(3, text_field(2, "x"))),
            "precompiled_charsmap has 1 bytes, of which 0 are to be an array; it is damaged");
}

TEST(TokenizerSentencePiece, SurvivesDamage) {
  for (const char* name : {"bpe.model", "unigram.model"}) {
    const std::string model = read_file(test::data_dir() / "tokenizer/sentencepiece" / name);
    test::survives_damage(model, "tokenizer.model", 700, [](const std::filesystem::path& path) {
      const Tokenizer tokenizer = Tokenizer::from_file(path);
      tokenizer.decode(tokenizer.encode("It's the 12th <s> caf\u00e9\n\n  \xff\u3000\uff11"));
    });
  }
}

TEST(TokenizerSentencePiece, MonotonousTextsTakeNoLonger) {
  for (const char* name : {"bpe.model", "bpe-unknown.model", "unigram.model"}) {
    const Tokenizer tokenizer = Tokenizer::from_file(test::data_dir() / "tokenizer/sentencepiece" / name);
    for (const char* letter : {"a", " ", "\n", "\u00e9", "\u4e2d", "the", "<sep>"}) {
      std::string text;
      while (text.size() < 1'000'000) text += letter;
      EXPECT_FALSE(tokenizer.encode(text).empty() && *letter != ' ') << letter;
    }
  }
}

}  // namespace
}  // namespace kvpress
