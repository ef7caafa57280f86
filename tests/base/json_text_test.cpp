// JSON from outside: what Python reads is read, and nothing nests without limit.
#include "base/json_text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

std::string error_of(std::string_view text) {
  try {
    parse_json(text, "x.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonText, ReadsJson) {
  EXPECT_EQ(parse_json(R"({"a": [1, -2, 3.5, "x", true, null, {"b": {}}], "a2": 18446744073709551615})", ""),
            nlohmann::json::parse(R"({"a": [1, -2, 3.5, "x", true, null, {"b": {}}], "a2": 18446744073709551615})"));
  EXPECT_EQ(parse_json("\xef\xbb\xbf[1]", ""), nlohmann::json({1}));
  EXPECT_EQ(parse_json(R"({"a": 1, "a": 2})", "")["a"], 2);
}

TEST(JsonText, ReadsWhatPythonReads) {
  const auto document = parse_json(R"([NaN, Infinity, -Infinity, "NaN", "\"Infinity", {"-Infinity": NaN}])", "");
  EXPECT_TRUE(std::isnan(document[0].get<double>()));
  EXPECT_EQ(document[1].get<double>(), INFINITY);
  EXPECT_EQ(document[2].get<double>(), -INFINITY);
  EXPECT_EQ(document[3], "NaN");
  EXPECT_EQ(document[4], "\"Infinity");
  EXPECT_TRUE(document[5].at("-Infinity").is_number_float());
  // Python keeps half a surrogate; whoever encodes it as UTF-8 with errors="replace" gets a mark of replacement.
  EXPECT_EQ(parse_json(R"("a\ud800b")", ""),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(parse_json(R"("\udc00")", ""), "\xef\xbf\xbd");
  EXPECT_EQ(parse_json(R"("\ud83d\ude00")", ""), "\xf0\x9f\x98\x80");
  EXPECT_EQ(parse_json(R"("\ud83d\ud83d\uDE00")", ""), "\xef\xbf\xbd\xf0\x9f\x98\x80");
  EXPECT_EQ(parse_json(R"("\\ud800")", ""), "\\ud800");
}

TEST(JsonText, SaysWhere) {
  EXPECT_EQ(error_of(""), "x.json: is not valid JSON (line 1, column 1)");
  EXPECT_EQ(error_of("{\"a\": 1,\n \"b\": x}"), "x.json: is not valid JSON (line 2, column 7)");
  EXPECT_EQ(error_of("[1e999]"), "x.json: has a number that is too large (line 1, column 6)");
  EXPECT_EQ(error_of("[NaNa]"), "x.json: is not valid JSON (line 1, column 5)");
  EXPECT_EQ(error_of("nan").substr(0, 25), "x.json: is not valid JSON");
  EXPECT_EQ(error_of("\"\\ud80\"").substr(0, 25), "x.json: is not valid JSON");
  EXPECT_EQ(error_of("[\"\xff\"]").substr(0, 25), "x.json: is not valid JSON");
}

TEST(JsonText, DepthIsLimited) {
  EXPECT_EQ(error_of(nested(kMaxJsonDepth)), "no error");
  EXPECT_EQ(error_of(nested(kMaxJsonDepth + 1)), "x.json: is nested deeper than 200 levels");
  EXPECT_EQ(error_of(std::string(3'000'000, '[')), "x.json: is nested deeper than 200 levels");
  std::string objects;
  for (int i = 0; i < 300'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(error_of(objects), "x.json: is nested deeper than 200 levels at \"a\"");
  EXPECT_FALSE(try_parse_json(objects).has_value());
  EXPECT_TRUE(try_parse_json("{}").has_value());
  EXPECT_TRUE(nests_too_deep(objects));
  EXPECT_TRUE(nests_too_deep(nested(kMaxJsonDepth + 1)));
  EXPECT_FALSE(nests_too_deep(nested(kMaxJsonDepth)));
  EXPECT_FALSE(nests_too_deep('"' + objects.substr(0, 1) + std::string(1000, '[') + "\\\"" + std::string(1000, '[')));
}

TEST(JsonText, ValuesInMessagesAreShort) {
  EXPECT_EQ(brief(nlohmann::json("x\ny")), "\"x\\ny\"");
  EXPECT_EQ(brief(nlohmann::json::array({1, 2})), "an array of 2");
  EXPECT_EQ(brief(nlohmann::json::object()), "an object of 0");
  EXPECT_EQ(brief(nlohmann::json(std::string(1000, 'x'))).size(), 83u);
  EXPECT_EQ(brief(nlohmann::json("\xff")), "\"\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace kvpress
