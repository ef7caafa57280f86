// Ids of the reference implementation: of whole tokenizers, and of every pipeline that is read.
#include "tokenizer/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvpress {
namespace {

using test::Ids;
using ::testing::HasSubstr;

TEST(TokenizerReferences, GptNeox) {
  const Tokenizer tokenizer = Tokenizer::from_json(test::data_dir() / "tokenizer/gpt-neox-20b.json");
  test::expect_references(tokenizer, "gpt-neox-20b");
  EXPECT_EQ(tokenizer.vocab_size(), 50277);
  EXPECT_EQ(tokenizer.eos_id(), 0);
  EXPECT_EQ(tokenizer.description(), "byte-level BPE, pre-tokenizer gpt2, NFC, 50277 ids");
}

TEST(TokenizerReferences, TheTextOfThePublishedTableHas3409Tokens) {
  const Tokenizer tokenizer = Tokenizer::from_json(test::data_dir() / "tokenizer/gpt-neox-20b.json");
  const TextDataset rows = load_texts({(test::project_dir() / "data/wikitext-103-v1/test.jsonl").string(), "", "", 64});
  std::string text;
  for (const std::string& row : rows.texts) text += (&row == rows.texts.data() ? "" : "\n\n") + row;
  EXPECT_EQ(tokenizer.encode(text).size(), 3409u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(TokenizerReferences, Demo) {
  const Tokenizer tokenizer = Tokenizer::from_json(test::project_dir() / "models/kvpress-demo/tokenizer.json");
  test::expect_references(tokenizer, "kvpress-demo");
  EXPECT_EQ(tokenizer.vocab_size(), 8192);
  EXPECT_EQ(tokenizer.eos_id(), 0);
}

nlohmann::json document_of(const nlohmann::json& variant) {
  nlohmann::json document = test::small_json();
  for (const char* part : {"normalizer", "pre_tokenizer", "added_tokens"}) document[part] = variant[part];
  document["model"]["ignore_merges"] = variant["ignore_merges"];
  return document;
}

const nlohmann::json& variant_named(const std::string& name) {
  for (const auto& variant : test::tokenizer_references()["variants"]) {
    if (variant["name"] == name) return variant;
  }
  throw Error("no variant " + name);
}

TEST(TokenizerReferences, EveryPipeline) {
  for (const auto& variant : test::tokenizer_references()["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    test::expect_cases(test::from_document(document_of(variant)), variant["cases"]);
  }
}

TEST(TokenizerReferences, MergesWrittenAsLines) {
  nlohmann::json document = document_of(variant_named("gpt4o"));
  nlohmann::json lines = nlohmann::json::array({"#version: 0.2"});
  for (const auto& pair : document["model"]["merges"]) {
    lines.push_back(pair[0].get<std::string>() + ' ' + pair[1].get<std::string>());
  }
  document["model"]["merges"] = lines;
  test::expect_cases(test::from_document(document), variant_named("gpt4o")["cases"]);
}

TEST(TokenizerReferences, AGgufsPreTokenizersByTheirNames) {
  const std::pair<const char*, const char*> names[] = {{"llama-bpe", "llama3"},
                                                       {"gpt-4o", "gpt4o"},
                                                       {"olmo", "nfc"},
                                                       {"smollm", "digits"},
                                                       {"qwen2", "qwen2"},
                                                       {"qwen35", "qwen35"},
                                                       {"tekken", "tekken"},
                                                       {"deepseek-v3", "deepseek-v3"},
                                                       {"deepseek-coder", "deepseek-coder"},
                                                       {"deepseek-llm", "deepseek-llm"}};
  for (const auto& [pre, variant] : names) {
    SCOPED_TRACE(pre);
    const test::TemporaryFolder folder;
    const GgufFile file(folder.file("x.gguf", test::small_gguf(pre).build()));
    test::expect_cases(Tokenizer::from_gguf(file), variant_named(variant)["cases"]);
  }
}

class SmolLM2Tokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("KVPRESS_SMOLLM2");
    if (path == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 is not set";
    file_ = std::make_unique<GgufFile>(path);
  }
  std::unique_ptr<GgufFile> file_;
};

TEST_F(SmolLM2Tokenizer, References) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(*file_);
  test::expect_references(tokenizer, "smollm2");
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.id_of("<|im_end|>"));
}

TEST_F(SmolLM2Tokenizer, TheTextOfItsOtherReferences) {
  const auto references = nlohmann::json::parse(read_file(test::data_dir() / "smollm2/references.json"));
  const Tokenizer tokenizer = Tokenizer::from_gguf(*file_);
  EXPECT_EQ(tokenizer.encode(references["text"].get<std::string>()), references["ids"].get<Ids>());
  for (const auto& it : references["generation"]) {
    const auto prompt = it["prompt"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(prompt), it["prompt_ids"].get<Ids>());
    EXPECT_EQ(tokenizer.decode(it["prompt_ids"].get<Ids>(), false), prompt);
  }
}

}  // namespace
}  // namespace kvpress
