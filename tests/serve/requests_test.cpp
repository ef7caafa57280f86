// Requests: every field is read, and a wrong one is named.
#include "serve/requests.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "serve/api_error.h"
#include "serve/cache_request.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress::serve {
namespace {

constexpr std::int64_t kVocab = 500;

/// The field that the error names, and what it says.
template <typename Read>
ApiError error_of(Read read) {
  try {
    read();
  } catch (const ApiError& error) {
    return error;
  }
  return {0, "", "", "", "no error"};
}

ApiError completion_error(const std::string& body) {
  return error_of([&] { read_completion(parse_body(body), kVocab); });
}
ApiError chat_error(const std::string& body) {
  return error_of([&] { read_chat(parse_body(body), kVocab); });
}

TEST(Completions, AreRead) {
  const CompletionRequest request = read_completion(
      parse_body(R"({"model": "m", "prompt": ["a", "b"], "max_tokens": 0, "temperature": 0.5, "top_p": 0.9, "top_k": 7,
        "min_p": 0.1, "n": 2, "stream": true, "stream_options": {"include_usage": true}, "logprobs": 3, "echo": true,
        "stop": ["x", "yz"], "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"3": -100, "4": 2.5},
        "seed": 5, "user": "u", "best_of": 2, "suffix": null, "kvpress": {"press": "knorm"}})"),
      kVocab);
  EXPECT_EQ(request.model, "m");
  ASSERT_EQ(request.prompts.size(), 2);
  EXPECT_EQ(std::get<std::string>(request.prompts[1]), "b");
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_EQ(request.generate.temperature, 0.5);
  EXPECT_EQ(request.generate.top_p, 0.9);
  EXPECT_EQ(request.generate.top_k, 7);
  EXPECT_EQ(request.generate.min_p, 0.1);
  EXPECT_EQ(request.n, 2);
  EXPECT_TRUE(request.stream && request.stream_usage && request.echo && request.scores);
  EXPECT_EQ(request.n_top, 3);
  EXPECT_EQ(request.stops, (std::vector<std::string>{"x", "yz"}));
  EXPECT_EQ(request.generate.presence_penalty, 1);
  EXPECT_EQ(request.generate.frequency_penalty, -1);
  EXPECT_EQ(request.generate.logit_bias, (std::vector<std::pair<std::int32_t, float>>{{3, -100.0f}, {4, 2.5f}}));
  EXPECT_EQ(request.seed, 5);
  EXPECT_EQ(request.cache["press"], "knorm");
}

TEST(Completions, TakePromptsInAllForms) {
  const auto prompts = [](const std::string& prompt) {
    return read_completion(parse_body("{\"prompt\": " + prompt + "}"), kVocab).prompts;
  };
  EXPECT_EQ(std::get<std::string>(prompts("\"text\"").at(0)), "text");
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(prompts("[1, 2, 499]").at(0)), (std::vector<std::int32_t>{1, 2, 499}));
  EXPECT_EQ(prompts("[[1], [2, 3]]").size(), 2);
  for (const char* bad : {"null", "3", "{}", "[]", "[[]]", "[1, \"a\"]", "[\"a\", 1]", "[[1], \"a\"]", "[500]", "[-1]",
                          "[1.5]", "[1e30]", "[true]", "[[\"a\"]]"}) {
    const ApiError error = completion_error("{\"prompt\": " + std::string(bad) + "}");
    EXPECT_EQ(error.status, 400) << bad;
    EXPECT_TRUE(error.param.starts_with("prompt")) << bad << ": " << error.what();
  }
}

TEST(Completions, NameTheWrongField) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 1e300)", "max_tokens"},
      {R"("max_tokens": 99999999999999999999999)", "max_tokens"},
      {R"("max_tokens": "4")", "max_tokens"},
      {R"("temperature": -0.1)", "temperature"},
      {R"("temperature": true)", "temperature"},
      {R"("top_p": 1.5)", "top_p"},
      {R"("min_p": 2)", "min_p"},
      {R"("n": 0)", "n"},
      {R"("n": 1000000)", "n"},
      {R"("stop": [""])", "stop"},
      {R"("stop": [1])", "stop"},
      {R"("stop": 5)", "stop"},
      {R"("logprobs": 1000)", "logprobs"},
      {R"("logprobs": true)", "logprobs"},
      {R"("logit_bias": {"500": 1})", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 101})", "logit_bias"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("presence_penalty": 3)", "presence_penalty"},
      {R"("stream": "yes")", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": {"other": true})", "stream_options.other"},
      {R"("seed": 1.5)", "seed"},
      {R"("echo": 1)", "echo"},
      {R"("best_of": 3)", "best_of"},
      {R"("suffix": "s")", "suffix"},
      {R"("model": 3)", "model"},
      {R"("tempreature": 1)", "tempreature"},
  };
  for (const auto& [fields, param] : kBad) {
    const ApiError error = completion_error(R"({"prompt": "a", )" + std::string(fields) + "}");
    EXPECT_EQ(error.status, 400) << fields;
    EXPECT_EQ(error.param, param) << fields << ": " << error.what();
  }
  EXPECT_NE(std::string(completion_error(R"({"prompt": "a", "tempreature": 1})").what()).find("temperature"),
            std::string::npos);
}

TEST(Bodies, ThatAreNoObjectAreRefused) {
  for (const std::string& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("3"), std::string("{\"prompt\": \"\xff\"}"),
        std::string(100000, '['), std::string("{\"prompt\": NaN}x")}) {
    const ApiError error = error_of([&] { parse_body(body); });
    EXPECT_EQ(error.status, 400) << body.substr(0, 20);
    EXPECT_EQ(error.code, "invalid_json") << body.substr(0, 20);
  }
}

TEST(Chats, AreRead) {
  const ChatRequest request = read_chat(parse_body(R"({"messages": [{"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "name": "Ann"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
          "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": 2}"}}]},
        {"role": "tool", "content": "3", "tool_call_id": "1"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto",
        "max_tokens": 4, "max_completion_tokens": 5, "logprobs": true, "top_logprobs": 2,
        "response_format": {"type": "text"}})"),
                                        kVocab);
  ASSERT_EQ(request.messages.size(), 4);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "Hello");
  EXPECT_EQ(request.messages[1].others, R"({"name":"Ann"})");
  EXPECT_NE(request.messages[2].others.find(R"("arguments":{"z":1,"a":2})"), std::string::npos)
      << request.messages[2].others;
  EXPECT_EQ(request.messages[3].others, R"({"tool_call_id":"1"})");
  EXPECT_EQ(request.tools, R"([{"type":"function","function":{"name":"f","parameters":{}}}])");
  EXPECT_EQ(request.max_tokens, 5);
  EXPECT_EQ(request.n_top, 2);
}

TEST(Chats, NameTheWrongField) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"({})", "messages"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": "hi"})", "messages"},
      {R"({"messages": [{"content": "a"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "user"}]})", "messages[0].content"},
      {R"({"messages": [{"role": "king", "content": "a"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "user", "content": "a"}, 3]})", "messages[1]"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", "messages[0].content[0].type"},
      {R"({"messages": [{"role": "user", "content": 3}]})", "messages[0].content"},
      {R"({"messages": [{"role": "user", "content": "a", "colour": 1}]})", "messages[0].colour"},
      {R"({"messages": [{"role": "user", "content": "a"}], "tools": {}})", "tools"},
      {R"({"messages": [{"role": "user", "content": "a"}], "tools": [1]})", "tools[0]"},
      {R"({"messages": [{"role": "user", "content": "a"}], "tool_choice": "required"})", "tool_choice"},
      {R"({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2})", "top_logprobs"},
      {R"({"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}})",
       "response_format"},
  };
  for (const auto& [body, param] : kBad) EXPECT_EQ(chat_error(body).param, param) << body;
}

TEST(ContextRequests, NeedATextOrMessages) {
  const auto error = [](const std::string& body) { return error_of([&] { read_context(parse_body(body), kVocab); }); };
  EXPECT_EQ(error("{}").param, "text");
  EXPECT_EQ(error(R"({"text": "a", "messages": []})").param, "text");
  EXPECT_EQ(error(R"({"text": {}})").param, "text");
  EXPECT_TRUE(read_context(parse_body(R"({"text": "a"})"), kVocab).text);
}

class CacheRequests : public testing::Test {
 protected:
  CacheRequests()
      : config_(test::small_config()),
        tokenizer_(Tokenizer::from_json(test::project_dir() / "models/kvpress-demo/tokenizer.json")),
        presses_(config_, "small", tokenizer_, parse_press("knorm")) {
    defaults_.compression.press = parse_press("knorm");
    defaults_.compression.budget = Budget::of_ratio(0.25);
    defaults_.ratio = 0.25;
  }
  CacheRequest read(const std::string& field) {
    const Json json = Json::parse(field);
    return read_cache_request(&json, defaults_, presses_, config_);
  }
  ApiError error(const std::string& field) {
    return error_of([&] { read(field); });
  }

  ModelConfig config_;
  Tokenizer tokenizer_;
  CacheDefaults defaults_;
  PressBook presses_;
};

TEST_F(CacheRequests, WithoutOneTheServersSettingsHold) {
  const CacheRequest request = read_cache_request(nullptr, defaults_, presses_, config_);
  EXPECT_EQ(request.compression.press.text, "knorm");
  EXPECT_EQ(request.compression.budget, Budget::of_ratio(0.25));
  EXPECT_EQ(request.key, read("{}").key);
}

TEST_F(CacheRequests, AreRead) {
  CacheRequest request = read(R"x({"press": "snapkv(window_size=8)", "compression_ratio": 0.75, "chunk_size": 64,
                                  "positions": "cache", "cache_dtype": "int8", "cache_residual": 32, "seed": 9})x");
  EXPECT_EQ(request.compression.press.text, "snapkv(window_size=8)");
  EXPECT_EQ(request.compression.budget, Budget::of_ratio(0.75));
  EXPECT_EQ(request.chunk_size, 64);
  EXPECT_EQ(request.compression.positions, Positions::cache);
  EXPECT_EQ(request.compression.cache_format, CacheFormat(DType::f32, 8, 32));
  EXPECT_EQ(request.compression.seed, 9);
  EXPECT_EQ(read(R"({"press": "snapkv"})").compression.budget, Budget::of_ratio(0.25)) << "the server's ratio";
  EXPECT_EQ(read(R"({"target_size": 12})").compression.budget, Budget::of_tokens(12));
  EXPECT_EQ(read(R"({"budget": "1MiB"})").compression.budget, Budget::of_bytes(1 << 20));
  EXPECT_EQ(read(R"({"budget": "0.5"})").compression.budget, Budget::of_ratio(0.5));
  request = read(R"({"press": "tova", "compression_interval": 16, "target_size": 32})");
  EXPECT_EQ(request.compression.compression_interval, 16);
  EXPECT_EQ(request.compression.decoding_budget, Budget::of_tokens(32));
  EXPECT_TRUE(read(R"({"press": "no_press"})").compression.press.is_none());
}

TEST_F(CacheRequests, KeysTellSettingsApart) {
  const std::string kKinds[] = {R"({})",
                                R"({"press": "snapkv"})",
                                R"({"compression_ratio": 0.5})",
                                R"({"target_size": 12})",
                                R"({"budget": "1MiB"})",
                                R"({"positions": "cache"})",
                                R"({"cache_dtype": "int4"})",
                                R"({"cache_dtype": "float16"})",
                                R"({"seed": 1})",
                                R"({"press": "no_press"})"};
  std::vector<std::string> keys;
  for (const std::string& it : kKinds) keys.push_back(read(it).key);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

TEST_F(CacheRequests, NameTheWrongField) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"([])", "kvpress"},
      {R"("snapkv")", "kvpress"},
      {R"({"press": "snapvk"})", "kvpress.press"},
      {R"({"press": 3})", "kvpress.press"},
      {R"x({"press": "snapkv(window_size=-1)"})x", "kvpress.press"},
      {R"x({"press": "qfilter(file=/etc/passwd)"})x", "kvpress.press"},
      {R"x({"press": "qfilter( file = x)"})x", "kvpress.press"},
      {R"({"compression_ratio": 1})", "kvpress.compression_ratio"},
      {R"({"compression_ratio": "0.5"})", "kvpress.compression_ratio"},
      {R"({"target_size": 0})", "kvpress.target_size"},
      {R"({"target_size": 1, "budget": "5"})", "kvpress.budget"},
      {R"({"budget": "many"})", "kvpress.budget"},
      {R"({"budget": 5})", "kvpress.budget"},
      {R"({"compression_interval": 5})", "kvpress.compression_interval"},
      {R"({"positions": "other"})", "kvpress.positions"},
      {R"({"cache_dtype": "int2"})", "kvpress.cache_dtype"},
      {R"({"chunk_size": 0})", "kvpress.chunk_size"},
      {R"({"chunk_size": 5, "context_tokens": 5})", "kvpress.context_tokens"},
      {R"({"context": "x", "press": "knorm"})", "kvpress.press"},
      {R"({"pres": "knorm"})", "kvpress.pres"},
  };
  for (const auto& [field, param] : kBad) {
    const ApiError it = error(field);
    EXPECT_EQ(it.param, param) << field << ": " << it.what();
    EXPECT_EQ(it.status, 400) << field;
  }
}

}  // namespace
}  // namespace kvpress::serve
