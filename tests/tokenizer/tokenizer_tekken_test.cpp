// How tekken.json are read, and how those that are none are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/references.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::Ids;
using ::testing::StartsWith;

const json& small() {
  static const auto document = json::parse(read_file(test::data_dir() / "tokenizer/sentencepiece/tekken.json"));
  return document;
}

json changed(const char* pointer, json value) {
  json document = small();
  document[json::json_pointer(pointer)] = std::move(value);
  return document;
}

Tokenizer open(const json& document) {
  const test::TemporaryFolder folder;
  return Tokenizer::from_file(folder.file("tekken.json", document.dump()));
}

std::string error(const json& document) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tekken.json", document.dump());
  const std::string text = test::error_of([&] { Tokenizer::from_file(path); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

TEST(TokenizerTekken, SpecialTokens) {
  const Tokenizer tokenizer = open(small());
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.id_of("[TOOL_CONTENT]"), 19);
  EXPECT_EQ(tokenizer.encode("a", BosChoice::automatic), (Ids{1, 20 + 'a'}));
  EXPECT_EQ(tokenizer.encode("[INST]a[/INST]"), (Ids{3, 20 + 'a', 4}));
  EXPECT_EQ(tokenizer.decode(Ids{3, 20 + 'a', 4}), "a");
  EXPECT_EQ(tokenizer.decode(Ids{3, 20 + 'a', 4}, false), "[INST]a[/INST]");
  EXPECT_EQ(tokenizer.description(), "byte-level BPE, pre-tokenizer tekken, 670 ids");
  const json named = changed("/special_tokens", {{{"rank", 0}, {"token_str", "<x>"}, {"is_control", true}},
                                                 {{"rank", 1}, {"token_str", "<s>"}, {"is_control", true}}});
  EXPECT_EQ(open(named).encode("<x><SPECIAL_19><s>"), (Ids{0, 19, 1}));
  EXPECT_EQ(open(named).eos_id(), std::nullopt);
}

TEST(TokenizerTekken, OthersAreNamed) {
  EXPECT_EQ(error(json::object()), "has no config; it is no tekken.json");
  EXPECT_EQ(error(changed("/config/default_vocab_size", "x")),
            "config: default_vocab_size is \"x\"; it must be a whole number up to 4194303");
  EXPECT_EQ(error(changed("/config/default_vocab_size", 19)),
            "config: default_vocab_size is 19, but 20 ids are special");
  EXPECT_EQ(error(changed("/config/default_vocab_size", 5000)), "vocab must be an array of at least 4980 tokens");
  EXPECT_EQ(error(changed("/config/default_num_special_tokens", 19)),
            "has 20 special tokens, but config: default_num_special_tokens is 19");
  EXPECT_EQ(error(changed("/config/pattern", 7)), "config: pattern must be a string");
  EXPECT_THAT(error(changed("/config/pattern", "(")), StartsWith("config: the regular expression ( does not compile"));
  EXPECT_EQ(error(changed("/vocab/3/rank", 4)), "vocab: the rank of entry 3 is 4; it must be 3");
  EXPECT_EQ(error(changed("/vocab/3/token_bytes", "?")), "vocab: token_bytes of entry 3 are not base64 of a token");
  EXPECT_EQ(error(changed("/vocab/3/token_bytes", "")), "vocab: token_bytes of entry 3 are not base64 of a token");
  EXPECT_EQ(error(changed("/vocab/3/token_bytes", "AA==")), "vocab: entry 3 is the token of another");
  EXPECT_EQ(error(changed("/vocab/3/token_bytes", "/////w==")), "vocab: byte 3 is no token; every byte must be one");
  const json twice = {{{"rank", 0}, {"token_str", "a"}}, {{"rank", 1}, {"token_str", "a"}}};
  EXPECT_EQ(error(changed("/special_tokens", twice)),
            "special_tokens: entry 1 is 'a'; it must be the name of one token");
}

TEST(TokenizerTekken, SurvivesDamage) {
  test::survives_damage(small().dump(), "tekken.json", 300, [](const std::filesystem::path& path) {
    const Tokenizer tokenizer = Tokenizer::from_file(path);
    tokenizer.decode(tokenizer.encode("It's the 12th [INST] caf\u00e9\n\n  \xff"));
  });
}

}  // namespace
}  // namespace kvpress
