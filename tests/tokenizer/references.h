// What tools/make_tokenizer_references.py wrote, and tokenizers to compare with it.
#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/gguf_builder.h"
#include "formats/mutations.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "test_data.h"
#include "tokenizer/sentencepiece_model.h"

namespace kvpress::test {

using Ids = std::vector<std::int32_t>;

inline const nlohmann::json& tokenizer_references() {
  static const auto document = nlohmann::json::parse(read_file(data_dir() / "tokenizer/references.json"));
  return document;
}

/// A small vocabulary and its merges, as a document to be changed.
inline const nlohmann::json& small_json() {
  static const auto document = nlohmann::json::parse(read_file(data_dir() / "tokenizer/small.json"));
  return document;
}

inline Tokenizer from_document(const nlohmann::json& document) {
  const TemporaryFolder folder;
  return Tokenizer::from_json(folder.file("tokenizer.json", document.dump()));
}

/// What is wrong with it, without the file's name.
inline std::string error_of_document(const std::string& content) {
  const TemporaryFolder folder;
  const auto path = folder.file("tokenizer.json", content);
  const std::string text = error_of([&] { Tokenizer::from_json(path); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

/// The small vocabulary as a GGUF has it.
inline GgufBuilder small_gguf(std::string_view pre) {
  const auto& model = small_json()["model"];
  std::vector<std::string> tokens(model["vocab"].size());
  for (const auto& [token, id] : model["vocab"].items()) tokens[id.get<std::size_t>()] = token;
  std::vector<std::string> merges;
  for (const auto& pair : model["merges"]) {
    merges.push_back(pair[0].get<std::string>() + ' ' + pair[1].get<std::string>());
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  types[0] = 3;
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre).texts("tokenizer.ggml.tokens", tokens);
  builder.i32s("tokenizer.ggml.token_type", types).texts("tokenizer.ggml.merges", merges);
  builder.u32("tokenizer.ggml.eos_token_id", 0);
  return builder;
}

/// The pieces of a model of SentencePiece as a GGUF has them.
inline GgufBuilder gguf_of_pieces(const SentencePieceModel& model, std::optional<bool> space_prefix = {}) {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    tokens.push_back(piece.text);
    types.push_back(static_cast<std::int32_t>(piece.type));
    scores.push_back(piece.score);
  }
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens);
  builder.i32s("tokenizer.ggml.token_type", types).f32s("tokenizer.ggml.scores", scores);
  builder.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  if (space_prefix) builder.flag("tokenizer.ggml.add_space_prefix", *space_prefix);
  return builder;
}

inline std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<std::uint32_t>(kDigits.find(c));
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(bits >> n_bits & 0xff);
  }
  return bytes;
}

/// Of the ids as little-endian integers of 32 bits, in hexadecimal.
inline std::string fnv1a64(const Ids& ids) {
  std::uint64_t value = 0xcbf29ce484222325u;
  for (const std::int32_t id : ids) {
    for (int byte = 0; byte < 4; ++byte) {
      value = (value ^ (static_cast<std::uint32_t>(id) >> (8 * byte) & 0xff)) * 0x100000001b3u;
    }
  }
  return fmt::format("{:016x}", value);
}

/// `cases`: pairs of a text in base64 and its ids.
inline void expect_cases(const Tokenizer& tokenizer, const nlohmann::json& cases) {
  EXPECT_GT(cases.size(), 20u);
  for (const auto& it : cases) {
    const std::string text = from_base64(it[0].get<std::string>());
    EXPECT_EQ(tokenizer.encode(text), it[1].get<Ids>()) << ::testing::PrintToString(text);
  }
}

/// Of the data that ship, joined as they are scored: "wikitext" or "pg19".
inline std::string shipped_text(const std::string& data) {
  const std::string folder = data == "wikitext" ? "wikitext-103-v1" : data;
  const TextDataset texts = load_texts({(project_dir() / "data" / folder / "test.jsonl").string(), "", "", 0});
  std::string joined;
  for (std::size_t i = 0; i < texts.texts.size(); ++i) joined += (i > 0 ? "\n\n" : "") + texts.texts[i];
  return joined;
}

/// Everything under one tokenizer's name: hostile texts, and the data that ship.
inline void expect_references(const Tokenizer& tokenizer, const std::string& name) {
  const auto& references = tokenizer_references()[name];
  expect_cases(tokenizer, references["cases"]);
  for (const char* data : {"wikitext", "pg19"}) {
    const Ids ids = tokenizer.encode(shipped_text(data));
    EXPECT_EQ(ids.size(), references["data"][data]["n"].get<std::size_t>()) << data;
    EXPECT_EQ(fnv1a64(ids), references["data"][data]["fnv1a64"].get<std::string>()) << data;
  }
}

}  // namespace kvpress::test
