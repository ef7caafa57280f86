// Special tokens wherever they stand, what is put around a text, and bytes outside the vocabulary: against
// transformers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "kvpress/base/log.h"
#include "tokenizer/references.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::Ids;
using ::testing::HasSubstr;

/// The small tokenizer without the tokens that have any of these characters, but for those like <this>.
void remove_tokens(json& model, const json& characters) {
  std::map<std::int64_t, std::string> kept;
  for (const auto& [token, id] : model["vocab"].items()) {
    const bool has_one = std::any_of(characters.begin(), characters.end(), [&, text = token](const json& it) {
      return text.find(it.get<std::string>()) != std::string::npos;
    });
    if (!has_one || token.starts_with("<")) kept[id.get<std::int64_t>()] = token;
  }
  json vocabulary = json::object();
  for (const auto& [id, token] : kept) vocabulary[token] = vocabulary.size();
  json merges = json::array();
  for (const json& it : model["merges"]) {
    const auto left = it[0].get<std::string>(), right = it[1].get<std::string>();
    if (vocabulary.contains(left) && vocabulary.contains(right) && vocabulary.contains(left + right)) {
      merges.push_back(it);
    }
  }
  model["vocab"] = vocabulary;
  model["merges"] = merges;
}

json patched(const json& patch) {
  json document = test::small_json();
  for (const auto& [key, value] : patch.items()) {
    if (key == "without") {
      remove_tokens(document["model"], value);
    } else if (key == "model") {
      document[key].update(value);
    } else if (key != "with") {
      document[key] = value;
    }
  }
  if (!patch.contains("with")) return document;
  json& vocabulary = document["model"]["vocab"];
  for (const json& token : patch["with"]) vocabulary[token.get<std::string>()] = vocabulary.size();
  return document;
}

const json& references() {
  static const json document = json::parse(read_file(test::data_dir() / "tokenizer/special_tokens.json"));
  return document;
}

Tokenizer open(const test::TemporaryFolder& folder, const json& files) {
  const json none = json::object();
  const auto path = folder.file("tokenizer.json", patched(files.value("tokenizer.json", none)).dump());
  for (const auto& [name, content] : files.items()) {
    if (name != "tokenizer.json") folder.file(name, content.get<std::string>());
  }
  return Tokenizer::from_json(path);
}

TEST(SpecialTokens, AreThoseOfTransformers) {
  set_quiet(true);
  for (const json& it : references()["cases"]) {
    const test::TemporaryFolder folder;
    const auto name = it["name"].get<std::string>();
    const Tokenizer tokenizer = open(folder, it["files"]);
    EXPECT_EQ(tokenizer.vocab_size(), it["size"].get<std::int64_t>()) << name;
    const auto bos = tokenizer.bos_id();
    EXPECT_EQ(bos ? json(*bos) : json(), it["bos"]) << name;
    const json& texts = references()["texts"];
    ASSERT_EQ(texts.size(), it["texts"].size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      const json& expected = it["texts"][i];
      const Ids ids = tokenizer.encode(text, BosChoice::automatic);
      EXPECT_EQ(ids, expected["ids"].get<Ids>()) << name << ": " << text;
      EXPECT_EQ(tokenizer.encode(text), expected["inner"].get<Ids>()) << name << ": " << text;
      EXPECT_EQ(tokenizer.decode(ids), expected["shown"].get<std::string>()) << name << ": " << text;
    }
  }
  set_quiet(false);
}

TEST(SpecialTokens, WhatIsPutAroundATextIsAChoice) {
  const auto frame = [](const char* name, BosChoice choice) {
    for (const json& it : references()["cases"]) {
      if (it["name"] != name) continue;
      const test::TemporaryFolder folder;
      return open(folder, it["files"]).frame(choice);
    }
    ADD_FAILURE() << "no case " << name;
    return TextFrame{};
  };
  EXPECT_EQ(frame("template around", BosChoice::automatic).before, Ids{1000});
  EXPECT_EQ(frame("template around", BosChoice::automatic).after, (Ids{1001, 1001}));
  EXPECT_EQ(frame("template around", BosChoice::yes).before, Ids{1000});
  EXPECT_EQ(frame("template around", BosChoice::yes).after, (Ids{1001, 1001}));
  EXPECT_TRUE(frame("template around", BosChoice::no).before.empty());
  EXPECT_TRUE(frame("template around", BosChoice::no).after.empty());
  EXPECT_TRUE(frame("named tokens", BosChoice::automatic).before.empty());
  EXPECT_EQ(frame("named tokens", BosChoice::yes).before, Ids{1000});
  EXPECT_THAT(test::error_of([&] { frame("nothing beside", BosChoice::yes); }), HasSubstr("no begin-of-text token"));
  EXPECT_EQ(parse_bos_choice("no", "--bos"), BosChoice::no);
  EXPECT_EQ(test::error_of([] { parse_bos_choice("maybe", "--bos"); }),
            "--bos: 'maybe' is not known; known: auto, yes, no");
}

TEST(SpecialTokens, FilesThatAreWrongAreNamed) {
  const auto message = [](const char* file, const char* content) {
    const test::TemporaryFolder folder;
    const std::string text = test::error_of([&] { open(folder, {{file, content}}); });
    if (text == "no error") return text;
    EXPECT_EQ(text.rfind((folder.path() / file).string() + ": ", 0), 0u) << text;
    return text.substr((folder.path() / file).string().size() + 2);
  };
  constexpr const char* kConfig = "tokenizer_config.json";
  EXPECT_EQ(message(kConfig, "[]"), "is not a JSON object");
  EXPECT_EQ(message(kConfig, R"({"eos_token": 7})"), "eos_token is 7; it must be a string or an object");
  EXPECT_EQ(message(kConfig, R"({"eos_token": {}})"), "eos_token: content must be a string");
  EXPECT_EQ(message(kConfig, R"({"eos_token": {"content": "x", "strip": true}})"),
            "eos_token: strip is not known of a token");
  EXPECT_EQ(message(kConfig, R"({"additional_special_tokens": "x"})"),
            "additional_special_tokens is \"x\"; it must be a list");
  EXPECT_EQ(message(kConfig, R"({"added_tokens_decoder": [1]})"),
            "added_tokens_decoder must be an object of ids and tokens");
  EXPECT_EQ(message(kConfig, R"({"added_tokens_decoder": {"x": {"content": "y"}}})"),
            "added_tokens_decoder: 'x' is not an id");
  EXPECT_EQ(message(kConfig, R"({"added_tokens_decoder": {"1": {"content": "y", "special": 1}}})"),
            "added_tokens_decoder: special must be true or false");
  EXPECT_EQ(message(kConfig, R"({"split_special_tokens": 1})"), "split_special_tokens must be true or false");
  EXPECT_EQ(message("added_tokens.json", R"({"<x>": "1"})"), "the id of <x> is \"1\"; it must be a whole number");
  EXPECT_EQ(message("special_tokens_map.json", "{"), "is not valid JSON (line 1, column 2)");
  EXPECT_EQ(message(kConfig, "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n"),
            "is a Git LFS pointer, not the file itself; run: git lfs pull");
  EXPECT_THAT(message(kConfig, std::string(300'000, '[').c_str()), HasSubstr("is nested deeper than 200 levels"));
}

TEST(SpecialTokens, AnUnknownTokenThatIsNoneIsAnErrorOnceItIsNeeded) {
  const test::TemporaryFolder folder;
  const Tokenizer tokenizer =
      open(folder, {{"tokenizer.json", {{"without", {"x"}}, {"model", {{"unk_token", "<unk>"}}}}}});
  EXPECT_FALSE(tokenizer.encode("the").empty());
  EXPECT_THAT(test::error_of([&] { tokenizer.encode("axe"); }),
              HasSubstr("tokenizer.json: model: unk_token <unk> is needed, but is not in the vocabulary"));
}

}  // namespace
}  // namespace kvpress
