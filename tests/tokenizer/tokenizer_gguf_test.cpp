// Which GGUFs' tokenizers are read, and how those that are not are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tokenizer/references.h"

namespace kvpress {
namespace {

using test::GgufBuilder;
using test::Ids;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string message(const GgufBuilder& builder) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("x.gguf", builder.build());
  const std::string text = test::error_of([&] { Tokenizer::from_gguf(GgufFile(path)); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

GgufBuilder gpt2() {
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
  return builder;
}

Tokenizer open(const GgufBuilder& builder) {
  const test::TemporaryFolder folder;
  return Tokenizer::from_gguf(GgufFile(folder.file("x.gguf", builder.build())));
}

TEST(TokenizerGguf, IsTheOneOfTokenizerJson) {
  const Tokenizer from_gguf = open(test::small_gguf("gpt-2"));
  const Tokenizer from_json = test::from_document(test::small_json());
  EXPECT_EQ(from_gguf.vocab_size(), 1000);
  EXPECT_EQ(from_gguf.eos_id(), 0);
  EXPECT_EQ(from_gguf.description(), "byte-level BPE, pre-tokenizer gpt-2, 1000 ids");
  const std::string text = load_texts({(test::project_dir() / "data/pg19/test.jsonl").string(), "", "", 0}).texts[0];
  EXPECT_EQ(from_gguf.encode(text), from_json.encode(text));
  EXPECT_EQ(from_gguf.encode("a<|endoftext|> 12"), from_json.encode("a<|endoftext|> 12"));
  EXPECT_EQ(from_gguf.decode(from_gguf.encode(text)), text);
}

TEST(TokenizerGguf, KindsOfTokens) {
  const auto builder = [](const std::vector<std::int32_t>& types) {
    return gpt2()
        .texts("tokenizer.ggml.tokens", {"a", "b", "<x>", "<y>", "ab"})
        .texts("tokenizer.ggml.merges", {"a b"})
        .i32s("tokenizer.ggml.token_type", types);
  };
  const Tokenizer tokenizer = open(builder({1, 1, 3, 4, 1}));
  EXPECT_EQ(tokenizer.encode("ab<x>a<y>"), (Ids{4, 2, 0, 3}));
  EXPECT_EQ(tokenizer.decode(Ids{4, 2, 0, 3}), "aba<y>");
  EXPECT_EQ(tokenizer.decode(Ids{4, 2, 0, 3}, false), "ab<x>a<y>");
  EXPECT_EQ(open(builder({1, 1, 1, 1, 1})).encode("<x>"), Ids{});
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
  EXPECT_EQ(message(builder({1, 1})), "tokenizer.ggml.token_type has 2 tokens, but there are 5");
}

TEST(TokenizerGguf, OthersAreNamed) {
  EXPECT_EQ(message(GgufBuilder()), "contains no tokenizer (tokenizer.ggml.model)");
  EXPECT_EQ(message(GgufBuilder().u32("tokenizer.ggml.model", 1)),
            "metadata tokenizer.ggml.model is a whole number, but must be a string");
  EXPECT_EQ(
      message(GgufBuilder().text("tokenizer.ggml.model", "t5")),
      "tokenizer.ggml.model 't5' is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece's BPE), "
      "gemma4");
  const std::string odd =
      message(GgufBuilder().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "odd\n"));
  EXPECT_THAT(odd, StartsWith("tokenizer.ggml.pre 'odd?' is not supported; supported: gpt-2, "));
  EXPECT_EQ(message(gpt2()), "has no tokenizer.ggml.tokens, an array of strings");
  EXPECT_EQ(message(gpt2().texts("tokenizer.ggml.tokens", {"a"})), "has no tokenizer.ggml.merges, an array of strings");
}

TEST(TokenizerGguf, VocabulariesThatLie) {
  const auto with = [](const std::vector<std::string>& tokens, const std::vector<std::string>& merges) {
    return message(gpt2().texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", merges));
  };
  EXPECT_EQ(with({"a", "b", "ab"}, {"a b"}), "no error");
  EXPECT_EQ(with({}, {}), "no error");
  EXPECT_EQ(with({"a", "a"}, {}), "token a appears twice");
  EXPECT_EQ(with({"a", "\xff"}, {}), "token 1 is not valid UTF-8");
  EXPECT_EQ(with({"a", "b"}, {"a b"}), "merge 0 needs the token ab, which is not in the vocabulary");
  EXPECT_EQ(with({"a", "b"}, {"ab"}), "merge 0 is 'ab'; it must be two tokens separated by a space");
  EXPECT_EQ(with({"a", "b"}, {""}), "merge 0 is ''; it must be two tokens separated by a space");
}

TEST(TokenizerGguf, EmptyTokensAreNamed) {
  const Tokenizer tokenizer = open(gpt2()
                                       .texts("tokenizer.ggml.tokens", {"a", "", "b", "", "ab"})
                                       .texts("tokenizer.ggml.merges", {"a b"})
                                       .i32s("tokenizer.ggml.token_type", {1, 3, 1, 5, 1}));
  EXPECT_EQ(tokenizer.vocab_size(), 5);
  EXPECT_EQ(tokenizer.id_of("[EMPTY_3]"), 3);
  EXPECT_EQ(tokenizer.encode("ab"), Ids{4});
}

TEST(TokenizerGguf, TextsBeginAsInLlamaCpp) {
  const auto with = [](const char* pre) {
    GgufBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
    return builder.texts("tokenizer.ggml.tokens", {"a", "<s>", "</s>"})
        .texts("tokenizer.ggml.merges", {})
        .i32s("tokenizer.ggml.token_type", {1, 3, 3});
  };
  const auto encoded = [](GgufBuilder builder, BosChoice bos = BosChoice::automatic) {
    return open(builder.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2)).encode("a", bos);
  };
  const char* add_bos = "tokenizer.ggml.add_bos_token";
  const char* add_eos = "tokenizer.ggml.add_eos_token";
  EXPECT_EQ(encoded(with("gpt-2")), Ids{0});
  EXPECT_EQ(encoded(with("gpt-2"), BosChoice::yes), (Ids{1, 0}));
  EXPECT_EQ(encoded(with("llama-bpe")), (Ids{1, 0}));
  EXPECT_EQ(encoded(with("tekken")), (Ids{1, 0}));
  EXPECT_EQ(encoded(with("llama-bpe"), BosChoice::no), Ids{0});
  EXPECT_EQ(encoded(with("llama-bpe").flag(add_bos, false)), Ids{0});
  EXPECT_EQ(encoded(with("gpt-2").flag(add_bos, true)), (Ids{1, 0}));
  EXPECT_EQ(encoded(with("gpt-2").u32(add_bos, 1)), (Ids{1, 0}));
  EXPECT_EQ(encoded(with("gpt-2").flag(add_bos, true).flag(add_eos, true)), (Ids{1, 0, 2}));
  EXPECT_EQ(encoded(with("gpt-2").flag("tokenizer.ggml.add_space_prefix", true)), Ids{0});
  EXPECT_THAT(message(with("gpt-2").text(add_bos, "yes")), HasSubstr("add_bos_token is a string, but must be true or"));
  EXPECT_EQ(open(with("llama-bpe")).encode("a"), Ids{0});
  EXPECT_THAT(test::error_of([&] { open(with("llama-bpe")).encode("a", BosChoice::automatic); }),
              HasSubstr("tokenizer.ggml.bos_token_id is missing"));
}

TEST(TokenizerGguf, TokensThatLookLikeControlAreControl) {
  const Tokenizer tokenizer = open(gpt2()
                                       .texts("tokenizer.ggml.tokens", {"a", "<|im_end|>", "<|start|>"})
                                       .texts("tokenizer.ggml.merges", {})
                                       .i32s("tokenizer.ggml.token_type", {1, 1, 3}));
  EXPECT_EQ(tokenizer.encode("a<|im_end|><|start|>"), (Ids{0, 1, 2}));
  EXPECT_EQ(tokenizer.decode(Ids{0, 1, 2}), "a<|start|>");
}

TEST(TokenizerGguf, AnEndThatIsNoTokenIsNone) {
  const auto eos = [](std::uint32_t id) {
    return open(gpt2()
                    .texts("tokenizer.ggml.tokens", {"a", "b"})
                    .texts("tokenizer.ggml.merges", {})
                    .u32("tokenizer.ggml.eos_token_id", id))
        .eos_id();
  };
  EXPECT_EQ(eos(1), 1);
  EXPECT_EQ(eos(2), std::nullopt);
  EXPECT_EQ(eos(~0u), std::nullopt);
}

GgufBuilder spm(const std::vector<std::string>& tokens, const std::vector<float>& scores,
                const std::vector<std::int32_t>& types) {
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens);
  return builder.f32s("tokenizer.ggml.scores", scores).i32s("tokenizer.ggml.token_type", types);
}

TEST(TokenizerGguf, SentencePiece) {
  const GgufBuilder builder = spm({"<unk>", "<s>", "</s>", "<u>", "\u2581", "a", "b", "ab", "\u2581a", "<0x0A>", "cd"},
                                  {0, 0, 0, 0, -3, -4, -5, -1, -2, 0, -6}, {2, 3, 3, 4, 1, 1, 1, 1, 1, 6, 1})
                                  .u32("tokenizer.ggml.bos_token_id", 1)
                                  .u32("tokenizer.ggml.eos_token_id", 2);
  const Tokenizer tokenizer = open(builder);
  EXPECT_EQ(tokenizer.description(), "BPE of characters, 11 ids");
  EXPECT_EQ(tokenizer.encode("ab ab"), (Ids{4, 7, 4, 7}));  // of the higher score first
  EXPECT_EQ(tokenizer.encode("a"), Ids{8});
  EXPECT_EQ(tokenizer.encode("a<u>a<s>\n"), (Ids{8, 3, 8, 1, 4, 9}));  // a space behind each of them
  EXPECT_EQ(tokenizer.encode("cdc"), (Ids{4, 10, 0}));                 // neither c nor d is a token
  EXPECT_EQ(tokenizer.encode("a", BosChoice::automatic), (Ids{1, 8}));
  EXPECT_EQ(tokenizer.decode(Ids{8, 8, 9}), "a a\n");
  EXPECT_EQ(tokenizer.decode_next(Ids{8, 8, 9}), " a a\n");
  EXPECT_EQ(tokenizer.decode(Ids{1, 4, 8, 3}), " a<u>");
  EXPECT_EQ(open(GgufBuilder(builder).flag("tokenizer.ggml.add_space_prefix", false)).encode("ab a"), (Ids{7, 8}));
  EXPECT_EQ(message(spm({"a", "b"}, {0}, {1, 1})), "tokenizer.ggml.scores has 1 numbers, but there are 2 tokens");
  EXPECT_EQ(message(spm({"a", "b"}, {0, std::nanf("")}, {1, 1})), "tokenizer.ggml.scores: number 1 is NaN");
  GgufBuilder texts;
  texts.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", {"a"});
  EXPECT_EQ(message(texts.texts("tokenizer.ggml.scores", {"0"})), "tokenizer.ggml.scores must be an array of numbers");
  EXPECT_EQ(message(spm({std::string(5000, 'a')}, {0}, {1})), "token 0 has 5000 bytes; at most 4096 are supported");
}

TEST(TokenizerGguf, SpecialTokensOfPhi3TakeTheSpaceBehind) {
  const auto encoded = [](const char* name) {
    return open(spm({"<s>", "<|user|>", "\u2581", "a", "</s>"}, {0, 0, 0, 0, 0}, {3, 3, 1, 1, 1})
                    .text("general.name", name)
                    .flag("tokenizer.ggml.add_space_prefix", false)
                    .flag("tokenizer.ggml.add_bos_token", false))
        .encode("<|user|> a</s> <s> a");
  };
  EXPECT_EQ(encoded("Phi-3 Mini"), (Ids{1, 3, 4, 0, 2, 3}));
  EXPECT_EQ(encoded("Other"), (Ids{1, 2, 3, 4, 2, 0, 2, 3}));
}

TEST(TokenizerGguf, Gemma4) {
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", "gemma4");
  builder.texts("tokenizer.ggml.tokens",
                {"<pad>", "<bos>", "a", "\u2581", "\u2581a", "\n", "\n\n", "<0xC3>", "<0xA9>"});
  builder.texts("tokenizer.ggml.merges", {"\u2581 a"}).i32s("tokenizer.ggml.token_type", {3, 3, 1, 1, 1, 1, 1, 6, 6});
  builder.u32("tokenizer.ggml.bos_token_id", 1).flag("tokenizer.ggml.add_bos_token", false);
  const Tokenizer tokenizer = open(builder);
  EXPECT_EQ(tokenizer.encode("a a\n\na\n", BosChoice::automatic), (Ids{1, 2, 4, 6, 2, 5}));
  EXPECT_EQ(tokenizer.encode("\n\n\n"), (Ids{5, 5, 5}));
  EXPECT_EQ(tokenizer.encode("\u00e9"), (Ids{7, 8}));
  EXPECT_EQ(tokenizer.decode(Ids{4, 2, 7, 8}), " aa\u00e9");
}

TEST(TokenizerGguf, SentencePieceSurvivesDamage) {
  const std::string path = (test::data_dir() / "tokenizer/sentencepiece/bpe.model").string();
  const GgufBuilder builder = test::gguf_of_pieces(read_sentencepiece_model(read_file(path), path));
  test::survives_damage(builder.build(), "x.gguf", 500, [](const std::filesystem::path& damaged) {
    const GgufFile file(damaged);
    const Tokenizer tokenizer = Tokenizer::from_gguf(file);
    tokenizer.decode(tokenizer.encode("It's the 12th <s> caf\u00e9\n\n  \xff"));
  });
}

TEST(TokenizerGguf, SurvivesDamage) {
  test::survives_damage(test::small_gguf("llama-bpe").build(), "x.gguf", 1500, [](const std::filesystem::path& path) {
    const GgufFile file(path);
    const Tokenizer tokenizer = Tokenizer::from_gguf(file);
    tokenizer.decode(tokenizer.encode("It's the 12th <|endoftext|> caf\u00e9\n\n  \xff"));
  });
}

}  // namespace
}  // namespace kvpress
