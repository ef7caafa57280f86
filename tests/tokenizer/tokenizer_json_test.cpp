// Which tokenizer.json are read, and how those that are not are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvpress/base/log.h"
#include "tokenizer/references.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::Ids;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// The small tokenizer with the value at `pointer` replaced.
json changed(const char* pointer, json value) {
  json document = test::small_json();
  document[json::json_pointer(pointer)] = std::move(value);
  return document;
}

std::string error_with(const char* pointer, json value) {
  return test::error_of_document(changed(pointer, std::move(value)).dump());
}

/// A BPE model of a, b, c with these merges, as text.
std::string tiny(const std::string& vocabulary, const std::string& merges) {
  return fmt::format(R"({{"pre_tokenizer":{{"type":"ByteLevel"}},"model":{{"vocab":{{{}}},"merges":[{}]}}}})",
                     vocabulary, merges);
}

TEST(TokenizerJson, NotJson) {
  EXPECT_EQ(test::error_of_document(""), "is not valid JSON (at byte 1)");
  EXPECT_THAT(test::error_of_document("{"), StartsWith("is not valid JSON (at byte "));
  EXPECT_THAT(test::error_of_document("{\"a\":\"\xff\"}"), StartsWith("is not valid JSON (at byte "));
  EXPECT_THAT(test::error_of_document("{\"a\":\"\\ud800\"}"), StartsWith("is not valid JSON (at byte "));
  EXPECT_EQ(test::error_of_document("[]"), "is not a JSON object");
  EXPECT_EQ(test::error_of_document("7"), "is not a JSON object");
  EXPECT_THAT(test::error_of_document(std::string(1'000'000, '[')), HasSubstr("is nested deeper than 64 levels"));
  EXPECT_THAT(test::error_of([] { Tokenizer::from_json("/nonexistent/tokenizer.json"); }),
              StartsWith("/nonexistent/tokenizer.json: "));
  EXPECT_THAT(test::error_of([] { Tokenizer::from_json(test::data_dir()); }), StartsWith(test::data_dir().string()));
}

TEST(TokenizerJson, OtherModels) {
  EXPECT_EQ(test::error_of_document("{}"), "has no model; a BPE or Unigram model is needed");
  for (const char* type : {"WordPiece", "WordLevel"}) {
    EXPECT_EQ(error_with("/model/type", type),
              fmt::format("model '{}' is not supported; supported: BPE, Unigram", type));
  }
  EXPECT_EQ(error_with("/model/type", 7), "model: type must be a string");
  EXPECT_EQ(error_with("/model/dropout", 0.1), "model: dropout is not supported; it must be null");
  EXPECT_EQ(error_with("/model/dropout", 0.0), "no error");
  EXPECT_EQ(error_with("/model/end_of_word_suffix", "</w>"),
            "model: end_of_word_suffix is not supported; it must be null or empty");
  EXPECT_EQ(error_with("/model/continuing_subword_prefix", ""), "no error");
  EXPECT_EQ(error_with("/model/ignore_merges", "yes"), "model: ignore_merges must be true or false");
  json document = test::small_json();
  document["model"].erase("vocab");
  EXPECT_EQ(test::error_of_document(document.dump()), "model: vocab (an object) and merges (an array) are needed");
  EXPECT_EQ(error_with("/model/merges", json::object()), "model: vocab (an object) and merges (an array) are needed");
}

TEST(TokenizerJson, OtherPipelines) {
  EXPECT_EQ(error_with("/normalizer", {{"type", "BertNormalizer"}}),
            "normalizer 'BertNormalizer' is not supported; supported: NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, "
            "Replace, Precompiled, Sequence, null");
  EXPECT_EQ(error_with("/normalizer", "NFC"), "normalizer: type must be a string");
  EXPECT_EQ(error_with("/normalizer", {{"type", "Sequence"}}), "normalizer: normalizers must be an array");
  EXPECT_EQ(
      error_with("/pre_tokenizer", {{"type", "Whitespace"}}),
      "pre_tokenizer 'Whitespace' is not supported; supported: ByteLevel, Split, Digits, Metaspace, Sequence, null");
  EXPECT_EQ(error_with("/pre_tokenizer/use_regex", 1), "pre_tokenizer: ByteLevel: use_regex must be true or false");
  const json byte_level = {{"type", "ByteLevel"}};
  const auto sequence = [&](json last) {
    return error_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {byte_level, std::move(last)}}});
  };
  EXPECT_EQ(sequence({{"type", "Digits"}}),
            "pre_tokenizer 'Digits' after ByteLevel is not supported; ByteLevel must be last");
  const auto split = [&](json part) {
    part["type"] = "Split";
    return error_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {std::move(part), byte_level}}});
  };
  EXPECT_EQ(split({{"pattern", {{"Regex", "a"}}}, {"behavior", "Isolated"}}), "no error");
  EXPECT_EQ(split({{"pattern", {{"Regex", "a"}}}, {"behavior", "Odd"}}),
            "pre_tokenizer: Split: behavior 'Odd' is not supported; supported: Removed, Isolated, MergedWithPrevious, "
            "MergedWithNext, Contiguous");
  EXPECT_THAT(split({{"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}}),
              StartsWith("pre_tokenizer: Split: the regular expression (a does not compile"));
  EXPECT_EQ(split({{"pattern", 7}, {"behavior", "Isolated"}}), "pre_tokenizer: Split: String must be a string");
  EXPECT_EQ(
      error_with("/post_processor", {{"type", "BertProcessing"}}),
      "post_processor 'BertProcessing' is not supported; supported: ByteLevel, TemplateProcessing, Sequence, null");
  constexpr const char* kDecoders =
      " is not supported; supported: ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, Sequence, null (of "
      "byte-level BPE)";
  EXPECT_EQ(error_with("/decoder", {{"type", "WordPiece"}}), std::string("decoder 'WordPiece'") + kDecoders);
  EXPECT_EQ(error_with("/decoder", {{"type", "CTC"}}), std::string("decoder 'CTC'") + kDecoders);
}

/// A tokenizer of characters: without ByteLevel.
json of_characters() {
  json document = test::small_json();
  document["pre_tokenizer"] = nullptr;
  document["decoder"] = {{"type", "Fuse"}};
  return document;
}

std::string error_of_characters(const char* part, json value) {
  json document = of_characters();
  document[part] = std::move(value);
  return test::error_of_document(document.dump());
}

TEST(TokenizerJson, PartsOfOthersThanByteLevel) {
  EXPECT_EQ(test::from_document(of_characters()).encode("the"),
            Ids{*test::from_document(test::small_json()).id_of("the")});
  EXPECT_EQ(error_of_characters("decoder", nullptr), "has no decoder; one is needed");
  const auto metaspace = [](const json& changes) {
    json part = {{"type", "Metaspace"}, {"replacement", "_"}};
    part.update(changes);
    const std::string of_decoder = error_of_characters("decoder", part);
    const std::string of_pre_tokenizer = error_of_characters("pre_tokenizer", part);
    EXPECT_EQ(of_decoder == "no error", of_pre_tokenizer == "no error");
    EXPECT_EQ(of_decoder.substr(of_decoder.find(':') + 1), of_pre_tokenizer.substr(of_pre_tokenizer.find(':') + 1));
    return of_decoder;
  };
  EXPECT_EQ(metaspace(json::object()), "no error");
  EXPECT_EQ(metaspace({{"prepend_scheme", "first"}, {"split", false}, {"str_rep", "_"}}), "no error");
  EXPECT_EQ(metaspace({{"replacement", "__"}}), "decoder: Metaspace: replacement is '__'; it must be one character");
  EXPECT_EQ(metaspace({{"replacement", 7}}), "decoder: Metaspace: replacement must be a string");
  EXPECT_EQ(metaspace({{"prepend_scheme", "last"}}),
            "decoder: Metaspace: prepend_scheme 'last' is not supported; supported: first, never, always");
  EXPECT_EQ(metaspace({{"add_prefix_space", false}}),
            "decoder: Metaspace: add_prefix_space is false, but prepend_scheme is 'always'; it must be never");
  EXPECT_EQ(metaspace({{"add_prefix_space", false}, {"prepend_scheme", "never"}}), "no error");
  const auto decoders = [](json list) {
    return error_of_characters("decoder", {{"type", "Sequence"}, {"decoders", std::move(list)}});
  };
  const json fuse = {{"type", "Fuse"}};
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  EXPECT_EQ(decoders({strip, fuse, strip}), "no error");
  EXPECT_EQ(decoders({fuse, strip, strip}), "decoder: two Strip after Fuse are not supported");
  EXPECT_EQ(decoders({fuse, {{"type", "ByteFallback"}}}),
            "decoder 'ByteFallback' after Fuse is not supported; only Strip is");
  EXPECT_EQ(decoders({{{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 0}}}),
            "decoder: Strip: start must be a whole number");
  EXPECT_EQ(error_of_characters("normalizer", {{"type", "Prepend"}}), "normalizer: Prepend: prepend must be a string");
  EXPECT_EQ(error_of_characters("normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}}),
            "normalizer: Precompiled: precompiled_charsmap is not base64");
  EXPECT_EQ(error_of_characters("normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}),
            "normalizer: Precompiled: precompiled_charsmap has 3 bytes, of which 0 are to be an array; it is damaged");
  EXPECT_THAT(error_of_characters("normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", "("}}}, {"content", ""}}),
              StartsWith("normalizer: Replace: the regular expression ( does not compile"));
}

TEST(TokenizerJson, ATextThatGrowsWithoutEndIsRefused) {
  json document = of_characters();
  json steps = json::array();
  for (int i = 0; i < 60; ++i) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}});
  }
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  const Tokenizer tokenizer = test::from_document(document);
  EXPECT_EQ(test::error_of([&] { tokenizer.encode("aaaa"); }),
            "the tokenizer's normalizer makes more than 65792 bytes of a text");
}

/// A Unigram model of these entries.
json unigram(const std::string& vocabulary, const std::string& unknown = "0") {
  return json::parse(fmt::format(
      R"({{"model":{{"type":"Unigram","vocab":[{}],"unk_id":{}}},"decoder":{{"type":"Fuse"}}}})", vocabulary, unknown));
}

TEST(TokenizerJson, Unigram) {
  const Tokenizer tokenizer = test::from_document(
      unigram(R"(["<unk>",0],["a",0],["b",0.0],["c",0],["d",0],["cd",1],["ab",2],["abc",5],["abcd",10])"));
  EXPECT_EQ(tokenizer.encode("abcdacdxx"), (Ids{8, 1, 5, 0}));
  EXPECT_EQ(tokenizer.decode(Ids{8, 1, 5}), "abcdacd");
  EXPECT_EQ(tokenizer.description(), "Unigram, pre-tokenizer none, 9 ids");
  const auto error = [](const json& document) { return test::error_of_document(document.dump()); };
  EXPECT_EQ(error(unigram(R"(["a",0])", "1")), "model: unk_id is 1; it must be the number of a token");
  EXPECT_EQ(error(unigram(R"(["a",0])", "-1")), "model: unk_id is -1; it must be the number of a token");
  EXPECT_EQ(error(unigram(R"(["a",0],["a",1])")), "model.vocab: token a or id 1 appears twice");
  for (const char* entry :
       {R"(["a"])", R"(["a",0,0])", R"([0,"a"])", R"("a")", "7", "{}", R"(["a",null])", R"([["a",0],0])", "[]"}) {
    EXPECT_EQ(error(unigram(entry)), "model.vocab: entry 0 is not [\"token\", score]") << entry;
  }
  EXPECT_EQ(error(unigram(R"(["a",0],["b",[]])")), "model.vocab: entry 1 is not [\"token\", score]");
  json byte_level = unigram(R"(["a",0])");
  byte_level["pre_tokenizer"] = {{"type", "ByteLevel"}};
  EXPECT_EQ(error(byte_level), "pre_tokenizer 'ByteLevel' of a Unigram model is not supported");
  EXPECT_EQ(test::error_of_document(R"({"model":{"type":"Unigram","vocab":{"a":0}}})"),
            "model: vocab must be an array of tokens and scores");
  const Tokenizer without = test::from_document(unigram(R"(["a",0])", "null"));
  EXPECT_EQ(without.encode("aa"), (Ids{0, 0}));
  EXPECT_THAT(test::error_of([&] { without.encode("ab"); }),
              HasSubstr("unk_id is null, but the text has a character that is no token"));
}

TEST(TokenizerJson, WhatIsNotUnderstoodIsNamed) {
  EXPECT_EQ(error_with("/lowercase", true), "lowercase is not known");
  EXPECT_EQ(error_with("/lowercase", nullptr), "no error");
  EXPECT_EQ(error_with("/model/cased", false), "model: cased is not known");
  EXPECT_EQ(error_with("/pre_tokenizer/trim", true), "pre_tokenizer: ByteLevel: trim is not known");
  EXPECT_EQ(error_with("/truncation", {{"max_length", 4}}), "no error");  // not of plain encoding
  const json template_of = {{"type", "TemplateProcessing"}};
  const auto processor = [&](const json& changes) {
    json part = template_of;
    part.update(changes);
    return error_with("/post_processor", part);
  };
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  EXPECT_EQ(processor({{"single", {text}}}), "no error");
  json both = template_of;
  both["single"] = json::array({text});
  EXPECT_EQ(error_with("/post_processor", {{"type", "Sequence"}, {"processors", {both, both}}}),
            "post_processor: two TemplateProcessing are not supported");
  EXPECT_EQ(processor(json::object()), "post_processor: TemplateProcessing: single must be an array");
  EXPECT_EQ(processor({{"single", {text, text}}}),
            "post_processor: TemplateProcessing: single must hold the text, Sequence A, once");
  EXPECT_EQ(processor({{"single", json::array()}}),
            "post_processor: TemplateProcessing: single must hold the text, Sequence A, once");
  EXPECT_EQ(processor({{"single", {bos, text}}}),
            "post_processor: TemplateProcessing: special_tokens has no ids of <s>");
  EXPECT_EQ(processor({{"single", {bos, text}}, {"special_tokens", {{"<s>", {{"ids", {-1}}}}}}}),
            "post_processor: TemplateProcessing: the ids of <s> must be from 0 to 4194303");
}

TEST(TokenizerJson, StepsOfThePreTokenizerAreLimited) {
  const auto steps = [](std::size_t n) {
    json list = json::array();
    for (std::size_t i = 1; i < n; ++i) list.push_back({{"type", "Digits"}, {"individual_digits", true}});
    list.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
    return error_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", list}});
  };
  EXPECT_EQ(steps(100), "no error");
  EXPECT_EQ(steps(60'000), "pre_tokenizer: more than 100 steps are not supported");
}

TEST(TokenizerJson, Vocabularies) {
  EXPECT_EQ(test::error_of_document(tiny(R"("a":0,"b":1,"ab":2)", R"("a b")")), "no error");
  EXPECT_EQ(test::error_of_document(tiny(R"("a":0,"b":0)", "")), "model.vocab: token b or id 0 appears twice");
  EXPECT_EQ(test::error_of_document(tiny(R"("a":0,"a":1)", "")), "model.vocab: token a or id 1 appears twice");
  for (const char* id : {"-1", "4194304", "99999999999999999999", "-9223372036854775808", "18446744073709551615"}) {
    EXPECT_THAT(test::error_of_document(tiny(fmt::format("\"a\":{}", id), "")),
                StartsWith("model.vocab: the id of a token must be "))
        << id;
  }
  EXPECT_EQ(test::error_of_document(tiny(R"("a":4194303)", "")), "no error");
  for (const char* id : {"1.0", "\"1\"", "null", "true", "[]", "{}"}) {
    EXPECT_EQ(test::error_of_document(tiny(fmt::format("\"a\":{}", id), "")),
              "model.vocab: the id of a token must be a whole number")
        << id;
  }
  EXPECT_EQ(test::error_of_document(R"({"model":{"vocab":{},"vocab":{},"merges":[]}})"), "model.vocab appears twice");
}

TEST(TokenizerJson, Merges) {
  const std::string abc = R"("a":0,"b":1,"c":2,"ab":3,"a b":4)";
  EXPECT_EQ(test::error_of_document(tiny(abc, R"(["a","b"])")), "no error");
  EXPECT_EQ(test::error_of_document(tiny(abc, R"("#version: 0.2","a b")")), "no error");
  EXPECT_EQ(test::error_of_document(tiny(abc, R"("a b","b c")")),
            "merge 1 needs the token bc, which is not in the vocabulary");
  EXPECT_EQ(test::error_of_document(tiny(abc, R"("a x")")),
            "merge 0 needs the token x, which is not in the vocabulary");
  EXPECT_EQ(test::error_of_document(tiny(abc, R"("ab")")),
            "merge 0 is 'ab'; it must be two tokens separated by a space");
  EXPECT_EQ(test::error_of_document(tiny(abc, R"("a b c")")),
            "merge 0 is 'a b c'; it must be two tokens separated by a space");
  constexpr const char* kNeither = " is neither \"a b\" nor [\"a\", \"b\"], as all of them must be";
  for (const char* merges : {R"(["a"])", R"(["a","b","c"])", R"([])", R"(7)", R"({})", R"(["a",1])", R"([["a","b"]])",
                             R"("a b",["a","b"])", R"(["a","b"],"a b")", "null"}) {
    const std::string message = test::error_of_document(tiny(abc, merges));
    EXPECT_THAT(message, StartsWith("model.merges: merge ")) << merges;
    EXPECT_THAT(message, HasSubstr(kNeither)) << merges;
  }
}

TEST(TokenizerJson, AddedTokensTakeTheNextIds) {
  set_quiet(true);
  const json added = {{{"id", 7}, {"content", "<new>"}, {"special", true}},
                      {{"content", "the"}},
                      {{"content", "<newer>"}},
                      {{"content", ""}},
                      {{"content", "<new>"}, {"special", false}}};
  const Tokenizer tokenizer = test::from_document(changed("/added_tokens", added));
  set_quiet(false);
  EXPECT_EQ(tokenizer.vocab_size(), 1002);
  EXPECT_EQ(tokenizer.id_of("<new>"), 1000);
  EXPECT_EQ(tokenizer.id_of("<newer>"), 1001);
  EXPECT_EQ(tokenizer.encode("<newer><new>"), (Ids{1001, 1000}));
  EXPECT_EQ(tokenizer.encode("the"), Ids{*tokenizer.id_of("the")});
  // Once special it stays so, as in the reference.
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a<new>b")), "ab");
}

TEST(TokenizerJson, AddedTokensThatAreNone) {
  EXPECT_EQ(error_with("/added_tokens", nullptr), "no error");
  EXPECT_EQ(error_with("/added_tokens", 7), "added_tokens must be an array");
  EXPECT_EQ(error_with("/added_tokens", {7}), "added_tokens is 7; it must be an object");
  EXPECT_EQ(error_with("/added_tokens", {{{"content", 7}}}), "added_tokens: content must be a string");
  EXPECT_EQ(error_with("/added_tokens", {{{"content", "x"}, {"strip", true}}}),
            "added_tokens: strip is not known of a token");
  EXPECT_EQ(error_with("/added_tokens", {{{"content", "x"}, {"special", 1}}}),
            "added_tokens: special must be true or false");
}

TEST(TokenizerJson, TheTokenThatEndsATextIsInTheFileBeside) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("tokenizer.json", test::small_json().dump());
  const auto eos = [&](const char* config) {
    folder.file("tokenizer_config.json", config);
    return Tokenizer::from_json(path).eos_id();
  };
  EXPECT_EQ(Tokenizer::from_json(path).eos_id(), 0);
  EXPECT_EQ(eos("{}"), 0);
  EXPECT_EQ(eos(R"({"eos_token":null})"), 0);
  EXPECT_EQ(eos(R"({"eos_token":"e"})"), test::small_json()["model"]["vocab"]["e"].get<std::int32_t>());
  EXPECT_EQ(eos(R"({"eos_token":{"content":"<|endoftext|>"}})"), 0);
  EXPECT_EQ(eos(R"({"eos_token":"</s>"})"), 1000);  // becomes a token
  EXPECT_THAT(test::error_of([&] { eos("{"); }), HasSubstr("tokenizer_config.json: is not valid JSON"));
}

/// What a reader that got in must then do without harm.
void use(const std::filesystem::path& path) {
  const Tokenizer tokenizer = Tokenizer::from_json(path);
  tokenizer.decode(tokenizer.encode("It's the 12th <|endoftext|> caf\u00e9\n\n  \xff"));
  EXPECT_FALSE(tokenizer.description().empty());
}

TEST(TokenizerJson, SurvivesDamage) {
  set_quiet(true);
  test::survives_damage(test::small_json().dump(), "tokenizer.json", 1500, use);
  set_quiet(false);
}

TEST(TokenizerJson, SurvivesAnyValueAnywhere) {
  set_quiet(true);
  json document = test::small_json();
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  const auto& with_split = test::tokenizer_references()["variants"][0];
  document["pre_tokenizer"] = with_split["pre_tokenizer"];
  document["model"]["merges"] = json::array({document["model"]["merges"][0], document["model"]["merges"][1]});
  json some = json::object();
  for (const auto& [token, id] : document["model"]["vocab"].items()) {
    if (token.size() < 3 || id < 260) some[token] = id;
  }
  document["model"]["vocab"] = some;
  const test::TemporaryFolder folder;
  const json values[] = {nullptr,
                         true,
                         -1,
                         1e300,
                         "",
                         "x",
                         "Sequence",
                         json::array(),
                         json::object(),
                         json::array({1}),
                         {{"type", "Sequence"}},
                         4194303,
                         {{"type", nullptr}}};
  const json flat = document.flatten();
  int n_read = 0;
  int n_words = 0;
  for (const auto& [pointer, unused] : flat.items()) {
    if (pointer.starts_with("/model/vocab/") && n_words++ >= 3) continue;
    // The value itself, and each of those around it.
    for (json::json_pointer at(pointer); !at.empty(); at = at.parent_pointer()) {
      for (const json& value : values) {
        json bad = document;
        bad[at] = value;
        const std::string message = test::error_of([&] { use(folder.file("tokenizer.json", bad.dump())); });
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        n_read += message == "no error" ? 1 : 0;
      }
      if (at.parent_pointer().to_string().starts_with("/model/vocab")) break;
    }
  }
  set_quiet(false);
  EXPECT_GT(n_read, 0);
}

}  // namespace
}  // namespace kvpress
