// Ids and texts of the reference implementations: of models of SentencePiece, of pipelines of tokenizer.json around
// their vocabularies, and of GGUFs made of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "tokenizer/references.h"
#include "tokenizer/sentencepiece_model.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::Ids;

std::filesystem::path folder() { return test::data_dir() / "tokenizer/sentencepiece"; }

const json& references() {
  static const auto document = json::parse(read_file(folder() / "references.json"));
  return document;
}

SentencePieceModel model_of(const std::string& name) {
  const std::string path = (folder() / (name + ".model")).string();
  return read_sentencepiece_model(read_file(path), path);
}

/// `cases`: a text in base64, its ids and, where it is told, what they are decoded to.
void expect_cases(const Tokenizer& tokenizer, const json& cases, bool skip_special = false) {
  EXPECT_GT(cases.size(), 30u);
  for (const auto& it : cases) {
    const std::string text = test::from_base64(it[0].get<std::string>());
    const Ids ids = it[1].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text), ids) << ::testing::PrintToString(text);
    if (it[2].is_null()) continue;
    const std::string decoded = test::from_base64(it[2].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, skip_special), decoded) << ::testing::PrintToString(ids);
    // Token by token, as a text is written while it is generated.
    std::string streamed = ids.empty() ? "" : tokenizer.decode_next({ids.data(), 1}, skip_special);
    for (std::size_t i = 1; i < ids.size(); ++i) streamed += tokenizer.decode_next({&ids[i], 1}, skip_special);
    EXPECT_EQ(streamed, tokenizer.decode_next(ids, skip_special));
    EXPECT_TRUE(std::string_view(streamed).ends_with(decoded)) << streamed << " / " << decoded;
  }
}

class SentencePieceReferences : public ::testing::TestWithParam<const char*> {};

TEST_P(SentencePieceReferences, OfTokenizerModel) {
  const auto& of_model = references()["sentencepiece"][GetParam()];
  const test::TemporaryFolder alone;  // no files beside it
  const auto path = alone.file("tokenizer.model", read_file(folder() / (std::string(GetParam()) + ".model")));
  const Tokenizer tokenizer = Tokenizer::from_file(path);
  expect_cases(tokenizer, of_model["cases"], true);
  for (const char* data : {"wikitext", "pg19"}) {
    // <unk> is text to SentencePiece, here a token.
    std::string text = test::shipped_text(data);
    for (std::size_t at = 0; (at = text.find("<unk>", at)) != std::string::npos;) text.erase(at, 5);
    const Ids ids = tokenizer.encode(text);
    EXPECT_EQ(ids.size(), of_model["data"][data]["n"].get<std::size_t>()) << data;
    EXPECT_EQ(test::fnv1a64(ids), of_model["data"][data]["fnv1a64"].get<std::string>()) << data;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePieceReferences,
                         ::testing::Values("bpe", "bpe-unknown", "bpe-no-prefix", "unigram", "unigram-unknown",
                                           "unigram-suffix"));

/// The document that the references were made of, without the merges of user-defined pieces, as there.
json document_of(const json& pipeline) {
  const SentencePieceModel model = model_of(pipeline["model"].get<std::string>());
  json document;
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder", "added_tokens"}) document[part] = pipeline[part];
  document["model"] = pipeline["options"];
  json& vocabulary = document["model"]["vocab"];
  if (pipeline["options"]["type"] == "Unigram") {
    for (const auto& piece : model.pieces) vocabulary.push_back({piece.text, piece.score});
    return document;
  }
  for (std::size_t i = 0; i < model.pieces.size(); ++i) vocabulary[model.pieces[i].text] = i;
  std::vector<std::tuple<float, std::string, std::string>> merges;
  for (const auto& piece : model.pieces) {
    if (piece.type != SentencePieceModel::Type::normal) continue;
    for (std::size_t cut = 1; cut < piece.text.size(); ++cut) {
      const std::string left = piece.text.substr(0, cut);
      const std::string right = piece.text.substr(cut);
      if (vocabulary.contains(left) && vocabulary.contains(right)) merges.emplace_back(-piece.score, left, right);
    }
  }
  std::stable_sort(merges.begin(), merges.end(),
                   [](const auto& a, const auto& b) { return std::get<0>(a) < std::get<0>(b); });
  for (const auto& [score, left, right] : merges) document["model"]["merges"].push_back({left, right});
  return document;
}

TEST(SentencePieceReferences, OfEveryPipeline) {
  for (const auto& pipeline : references()["pipelines"]) {
    SCOPED_TRACE(pipeline["name"].get<std::string>());
    expect_cases(test::from_document(document_of(pipeline)), pipeline["cases"]);
  }
}

TEST(SentencePieceReferences, OfTekken) {
  const Tokenizer tokenizer = Tokenizer::from_tekken(folder() / "tekken.json");
  expect_cases(tokenizer, references()["tekken"]["cases"]);
}

TEST(SentencePieceReferences, OfLlamaCpp) {
  for (const auto& of_gguf : references()["llama"]) {
    SCOPED_TRACE(of_gguf["model"].get<std::string>());
    std::optional<bool> prefix;
    if (of_gguf.contains("add_space_prefix")) prefix = of_gguf["add_space_prefix"].get<bool>();
    const test::TemporaryFolder temporary;
    const auto path =
        temporary.file("x.gguf", test::gguf_of_pieces(model_of(of_gguf["model"].get<std::string>()), prefix).build());
    expect_cases(Tokenizer::from_gguf(GgufFile(path)), of_gguf["cases"]);
  }
}

}  // namespace
}  // namespace kvpress
