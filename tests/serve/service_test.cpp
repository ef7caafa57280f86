// What the server answers, without connections: completions, chats, streams, scores, contexts, errors.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "kvpress/engine/generate.h"
#include "service_model.h"

namespace kvpress::serve {
namespace {

using test::DemoService;
using Json = nlohmann::ordered_json;

constexpr const char* kText =
    "The old man sat by the window and looked at the sea. It had been a long winter, and the boats had not gone out "
    "for "
    "many days. He thought of his son, who had sailed away and had not come back.";

TEST(Service, CompletesTextsAsGenerateDoes) {
  DemoService server;
  const auto& model = server.model;
  for (const char* press : {"no_press", "snapkv(window_size=8)"}) {
    CompressionSettings settings = DemoService::settings_of(press).cache.compression;
    Sequence sequence(*model.loaded.model, settings);
    sequence.append(model.tokenizer.encode(kText, BosChoice::automatic));
    const Generated expected = generate(sequence, {.max_new_tokens = 12});
    const Json answer = server.json("POST", "/v1/completions",
                                    {{"model", "demo"},
                                     {"prompt", kText},
                                     {"max_tokens", 12},
                                     {"temperature", 0},
                                     {"kvpress", {{"press", press}}}});
    ASSERT_TRUE(answer.contains("choices")) << answer;
    EXPECT_EQ(answer["object"], "text_completion");
    EXPECT_EQ(answer["choices"][0]["text"], model.tokenizer.decode_next(expected.ids)) << press;
    EXPECT_EQ(answer["choices"][0]["finish_reason"], expected.end ? "stop" : "length");
    EXPECT_EQ(answer["usage"]["prompt_tokens"], model.tokenizer.encode(kText, BosChoice::automatic).size());
    EXPECT_EQ(answer["usage"]["completion_tokens"], expected.ids.size());
    EXPECT_EQ(answer["usage"]["kvpress"]["press"], press);
    EXPECT_NEAR(answer["usage"]["kvpress"]["cache_tokens"].get<double>(), sequence.cache_tokens(), 1);
    EXPECT_GT(answer["usage"]["kvpress"]["cache_bytes"], 0);
  }
}

TEST(Service, TakesTokensTextsAndChoices) {
  DemoService server;
  const auto ids = server.model.tokenizer.encode(kText, BosChoice::automatic);
  const Json one = server.json("POST", "/v1/completions", {{"prompt", ids}, {"max_tokens", 5}, {"temperature", 0}});
  const Json text = server.json("POST", "/v1/completions", {{"prompt", kText}, {"max_tokens", 5}, {"temperature", 0}});
  EXPECT_EQ(one["choices"][0]["text"], text["choices"][0]["text"]);
  const Json many = server.json("POST", "/v1/completions",
                                {{"prompt", {kText, "Once"}}, {"max_tokens", 5}, {"n", 2}, {"temperature", 0}});
  ASSERT_EQ(many["choices"].size(), 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(many["choices"][i]["index"], i);
  EXPECT_EQ(many["choices"][0]["text"], text["choices"][0]["text"]);
  EXPECT_EQ(many["choices"][1]["text"], text["choices"][0]["text"]);
  EXPECT_EQ(many["choices"][2]["text"], many["choices"][3]["text"]);
  EXPECT_EQ(many["usage"]["completion_tokens"], 20);
}

TEST(Service, StreamsWhatItWouldAnswerWhole) {
  DemoService server;
  for (const bool chat : {false, true}) {
    Json body = {
        {"max_tokens", 20}, {"temperature", 0.8}, {"seed", 3}, {"n", 2}, {"logprobs", chat ? Json(true) : Json(2)}};
    if (chat) {
      body["messages"] = {{{"role", "user"}, {"content", kText}}};
      body["top_logprobs"] = 2;
    } else {
      body["prompt"] = kText;
    }
    const std::string path = chat ? "/v1/chat/completions" : "/v1/completions";
    const Json whole = server.json("POST", path, body);
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    std::vector<std::string> texts(2), ends(2);
    std::vector<double> logprobs[2];
    Json usage;
    for (const Json& event : server.events(path, body)) {
      EXPECT_EQ(event["object"], chat ? "chat.completion.chunk" : "text_completion");
      if (event["choices"].empty()) {
        usage = event["usage"];
        continue;
      }
      const Json& choice = event["choices"][0];
      const auto i = choice["index"].get<std::size_t>();
      const Json text = chat ? choice["delta"].value("content", Json("")) : choice["text"];
      texts[i] += text.get<std::string>();
      if (!choice["finish_reason"].is_null()) ends[i] = choice["finish_reason"];
      if (choice["logprobs"].is_null()) continue;
      if (chat) {
        for (const Json& it : choice["logprobs"]["content"]) logprobs[i].push_back(it["logprob"]);
      } else {
        for (const Json& it : choice["logprobs"]["token_logprobs"]) logprobs[i].push_back(it);
      }
    }
    for (std::size_t i = 0; i < 2; ++i) {
      const Json& choice = whole["choices"][i];
      EXPECT_EQ(texts[i], (chat ? choice["message"]["content"] : choice["text"]).get<std::string>());
      EXPECT_EQ(ends[i], choice["finish_reason"]);
      const Json& list = chat ? choice["logprobs"]["content"] : choice["logprobs"]["token_logprobs"];
      ASSERT_EQ(logprobs[i].size(), list.size());
      for (std::size_t t = 0; t < list.size(); ++t) {
        EXPECT_EQ(logprobs[i][t], (chat ? list[t]["logprob"] : list[t]).get<double>());
      }
    }
    EXPECT_EQ(usage["completion_tokens"], whole["usage"]["completion_tokens"]);
  }
}

/// What EleutherAI's harness asks for.
TEST(Service, EchoesWithLogprobs) {
  DemoService server;
  const auto ids = server.model.tokenizer.encode(kText, BosChoice::automatic);
  const auto score = [&](const Json& cache, int max_tokens) {
    return server.json("POST", "/v1/completions",
                       {{"prompt", {ids, ids}},
                        {"max_tokens", max_tokens},
                        {"temperature", 0},
                        {"logprobs", 1},
                        {"echo", true},
                        {"seed", 1234},
                        {"kvpress", cache}});
  };
  const Json answer = score(Json::object(), 1);
  ASSERT_EQ(answer["choices"].size(), 2) << answer;
  const Json& logprobs = answer["choices"][1]["logprobs"];
  ASSERT_EQ(logprobs["token_logprobs"].size(), ids.size() + 1);
  ASSERT_EQ(logprobs["top_logprobs"].size(), ids.size() + 1);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  std::string text;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(logprobs["text_offset"][i], text.size());
    text += logprobs["tokens"][i].get<std::string>();
    if (i == 0) continue;
    double best = -1e9;
    for (const auto& it : logprobs["top_logprobs"][i].items()) best = std::max(best, it.value().get<double>());
    EXPECT_GE(best, logprobs["token_logprobs"][i].get<double>());
    EXPECT_LE(best, 0);
  }
  EXPECT_TRUE(answer["choices"][1]["text"].get<std::string>().starts_with(kText));
  const Json none = score(Json::object(), 0);
  EXPECT_EQ(none["choices"][0]["logprobs"]["token_logprobs"].size(), ids.size());
  EXPECT_EQ(none["choices"][0]["text"], kText);
  EXPECT_EQ(none["usage"]["completion_tokens"], 0);
  const auto sum = [&](const Json& it) {
    double total = 0;
    for (std::size_t i = 1; i < ids.size(); ++i)
      total += it["choices"][0]["logprobs"]["token_logprobs"][i].get<double>();
    return total;
  };
  EXPECT_EQ(sum(none), sum(answer));
  const Json pressed = score({{"press", "streaming_llm"}, {"compression_ratio", 0.8}, {"chunk_size", 8}}, 0);
  EXPECT_LT(sum(pressed), sum(none));
  const Json continued = score({{"press", "streaming_llm"}, {"compression_ratio", 0.8}, {"context_tokens", 20}}, 0);
  for (std::size_t i = 1; i < 20; ++i) {
    EXPECT_NEAR(continued["choices"][0]["logprobs"]["token_logprobs"][i].get<double>(),
                none["choices"][0]["logprobs"]["token_logprobs"][i].get<double>(), 1e-3);
  }
  EXPECT_NE(sum(continued), sum(none));
}

TEST(Service, ChatsReuseTheirTurns) {
  DemoService server({.chunk = 64}, std::size_t{512} << 20, "snapkv(window_size=8)");
  Json messages = {{{"role", "system"}, {"content", std::string(kText) + kText}},
                   {{"role", "user"}, {"content", kText}}};
  const auto ask = [&](bool reuse) {
    DemoService fresh({.chunk = 64}, std::size_t{512} << 20, "snapkv(window_size=8)");
    return (reuse ? server : fresh)
        .json("POST", "/v1/chat/completions", {{"messages", messages}, {"temperature", 0}, {"max_tokens", 10}});
  };
  for (int turn = 0; turn < 3; ++turn) {
    const Json answer = ask(true);
    const Json alone = ask(false);
    ASSERT_TRUE(answer.contains("choices")) << answer;
    EXPECT_EQ(answer["choices"][0]["message"], alone["choices"][0]["message"]) << turn;
    EXPECT_EQ(alone["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    if (turn > 0) {
      EXPECT_GT(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 60);
    }
    messages.push_back(answer["choices"][0]["message"]);
    messages.push_back({{"role", "user"}, {"content", "And then? " + std::string(kText)}});
  }
  // Another conversation with the same system message begins after it.
  messages = {messages[0], {{"role", "user"}, {"content", "Something else"}}};
  EXPECT_GT(ask(true)["usage"]["prompt_tokens_details"]["cached_tokens"], 60);
}

TEST(Service, HandsToolsToTheTemplate) {
  DemoService server;
  const Json body = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"max_tokens", 1}};
  Json with = body;
  with["tools"] = {{{"type", "function"}, {"function", {{"name", "weather"}}}}};
  const int n = server.json("POST", "/v1/chat/completions", body)["usage"]["prompt_tokens"];
  const int more = server.json("POST", "/v1/chat/completions", with)["usage"]["prompt_tokens"];
  EXPECT_GT(more, n + 5);
}

TEST(Service, StopStringsEndAnswers) {
  DemoService server;
  const Json body = {{"prompt", kText}, {"max_tokens", 40}, {"temperature", 0}};
  const std::string whole = server.json("POST", "/v1/completions", body)["choices"][0]["text"];
  const std::string stop = whole.substr(whole.size() / 2, 3);
  Json stopping = body;
  stopping["stop"] = {stop, "never there"};
  const Json answer = server.json("POST", "/v1/completions", stopping);
  EXPECT_EQ(answer["choices"][0]["text"], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_LT(answer["usage"]["completion_tokens"], 40);
}

TEST(Service, ContextsAreMadeAskedListedAndDeleted) {
  DemoService server;
  const std::string text = std::string(kText) + " " + kText;
  const Reply made = server.call("POST", "/v1/contexts",
                                 {{"text", text}, {"kvpress", {{"press", "knorm"}, {"compression_ratio", 0.5}}}});
  EXPECT_EQ(made.status, 201);
  const Json context = Json::parse(made.body);
  const std::string id = context["id"];
  const auto n = server.model.tokenizer.encode(text, BosChoice::automatic).size();
  EXPECT_EQ(context["tokens"], n);
  EXPECT_NEAR(context["cache_tokens"].get<double>(), static_cast<double>(n) / 2, 1);
  EXPECT_EQ(server.json("GET", "/v1/contexts/" + id), context);
  EXPECT_EQ(server.json("GET", "/v1/contexts")["data"].size(), 1);
  const Json ask = {{"prompt", " The sea"}, {"max_tokens", 6}, {"temperature", 0}, {"kvpress", {{"context", id}}}};
  const Json first = server.json("POST", "/v1/completions", ask);
  ASSERT_TRUE(first.contains("choices")) << first;
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], n);
  EXPECT_EQ(first["usage"]["kvpress"]["press"], "knorm");
  EXPECT_EQ(server.json("POST", "/v1/completions", ask)["choices"], first["choices"])
      << "questions do not see each other";
  EXPECT_EQ(server.call("DELETE", "/v1/contexts/" + id).status, 200);
  EXPECT_EQ(server.call("DELETE", "/v1/contexts/" + id).status, 404);
  EXPECT_EQ(server.call("POST", "/v1/completions", ask).status, 404);
}

TEST(Service, AContextOfMessagesBeginsAChat) {
  DemoService server;
  const Json system = {{"role", "system"}, {"content", kText}};
  const Json user = {{"role", "user"}, {"content", "Where is the sea?"}};
  const std::string id = server.json("POST", "/v1/contexts", {{"messages", {system}}})["id"];
  const Json by_context =
      server.json("POST", "/v1/chat/completions",
                  {{"messages", {user}}, {"temperature", 0}, {"max_tokens", 8}, {"kvpress", {{"context", id}}}});
  ASSERT_TRUE(by_context.contains("choices")) << by_context;
  const Json whole = server.json("POST", "/v1/chat/completions",
                                 {{"messages", {system, user}}, {"temperature", 0}, {"max_tokens", 8}});
  EXPECT_EQ(by_context["choices"], whole["choices"]);
  EXPECT_EQ(by_context["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"]);
}

TEST(Service, ContextsOfAFolderAreThereAgain) {
  const kvpress::test::TemporaryFolder files;
  const ContextFolder folder = test::DemoModel::get().contexts_in(files.path() / "made");
  const Json cache = {{"press", "adakv(snapkv(window_size=8))"}, {"compression_ratio", 0.5}};
  const Json system = {{"role", "system"}, {"content", kText}};
  const Json user = {{"role", "user"}, {"content", "Where is the sea?"}};
  std::string text, talk;
  Json answers[2];
  const auto ask = [&](DemoService& server, int which) {
    if (which == 0) {
      return server.json(
          "POST", "/v1/completions",
          {{"prompt", " The sea"}, {"max_tokens", 8}, {"temperature", 0}, {"kvpress", {{"context", text}}}});
    }
    return server.json("POST", "/v1/chat/completions",
                       {{"messages", {user}}, {"max_tokens", 8}, {"temperature", 0}, {"kvpress", {{"context", talk}}}});
  };
  constexpr std::size_t kLimit = std::size_t{512} << 20;
  {
    DemoService server({.chunk = 64}, kLimit, "no_press", &folder);
    text = server.json("POST", "/v1/contexts", {{"text", kText}, {"kvpress", cache}})["id"];
    talk = server.json("POST", "/v1/contexts", {{"messages", {system}}, {"kvpress", cache}})["id"];
    for (int i = 0; i < 2; ++i) answers[i] = ask(server, i);
  }
  const std::filesystem::path path = files.path() / "made" / (text + ".kv");
  ASSERT_TRUE(std::filesystem::exists(path));
  std::filesystem::copy(path, files.path() / "made/other.kv");
  std::filesystem::resize_file(files.path() / "made/other.kv", std::filesystem::file_size(path) - 100);
  files.file("made/note.kv", "not a context");
  {
    DemoService server({.chunk = 64}, kLimit, "no_press", &folder);
    EXPECT_EQ(server.json("GET", "/v1/contexts")["data"].size(), 2) << "damaged ones are left out";
    for (int i = 0; i < 2; ++i) {
      const Json again = ask(server, i);
      ASSERT_TRUE(again.contains("choices")) << again;
      EXPECT_EQ(again["choices"], answers[i]["choices"]);
      EXPECT_EQ(again["usage"]["prompt_tokens"], answers[i]["usage"]["prompt_tokens"]);
    }
    EXPECT_EQ(server.json("GET", "/v1/contexts/" + talk)["kind"], "messages");
    EXPECT_GT(server.json("GET", "/health")["memory"]["contexts"], 0);
    EXPECT_EQ(server.call("DELETE", "/v1/contexts/" + text).status, 200);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  DemoService server({.chunk = 64}, kLimit, "no_press", &folder);
  EXPECT_EQ(server.json("GET", "/v1/contexts")["data"].size(), 1);
  // What a context needs counts against the budget.
  DemoService small({.chunk = 64}, (1 << 20) + 1000, "no_press", &folder);
  EXPECT_EQ(small.json("GET", "/v1/contexts")["data"].size(), 0);
}

TEST(Service, TokenizesAndBack) {
  DemoService server;
  const Json tokens = server.json("POST", "/tokenize", {{"prompt", kText}, {"add_special_tokens", false}});
  EXPECT_EQ(tokens["tokens"].get<std::vector<std::int32_t>>(), server.model.tokenizer.encode(kText));
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(server.json("POST", "/detokenize", {{"tokens", tokens["tokens"]}})["prompt"], kText);
  EXPECT_EQ(server.json("POST", "/detokenize", {{"tokens", Json::array()}})["prompt"], "");
  EXPECT_EQ(server.call("POST", "/detokenize", {{"tokens", {-1}}}).status, 400);
  EXPECT_EQ(server.call("POST", "/tokenize", Json::object()).status, 400);
  EXPECT_TRUE(server.json("GET", "/tokenizer_info").contains("eos_token"));
}

TEST(Service, TellsOfItself) {
  DemoService server;
  server.json("POST", "/v1/completions", {{"prompt", "Once"}, {"max_tokens", 3}});
  EXPECT_EQ(server.json("GET", "/v1/models")["data"][0]["id"], "demo");
  EXPECT_EQ(server.json("GET", "/v1/models/demo")["id"], "demo");
  EXPECT_EQ(server.call("GET", "/v1/models/other").status, 404);
  const Json health = server.json("GET", "/health");
  EXPECT_EQ(health["status"], "ok");
  EXPECT_EQ(health["memory"]["limit"], std::size_t{512} << 20);
  const Reply metrics = server.call("GET", "/metrics");
  EXPECT_NE(metrics.body.find("kvpress_http_requests_total{path=\"/v1/completions\",status=\"200\"} 1"),
            std::string::npos)
      << metrics.body;
  EXPECT_NE(metrics.body.find("kvpress_generated_tokens_total"), std::string::npos);
  EXPECT_NE(server.call("GET", "/").body.find("<html"), std::string::npos);
}

TEST(Service, ErrorsHaveOpenAisForm) {
  DemoService server;
  struct Bad {
    const char *method, *path;
    Json body;
    int status;
    const char* param;
  };
  const Bad kBad[] = {
      {"POST", "/v1/completions", Json::object(), 400, "prompt"},
      {"POST", "/v1/completions", {{"prompt", ""}}, 400, "prompt"},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"model", "other"}}, 404, "model"},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"n", 100}}, 400, "n"},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"max_tokens", 2000000}}, 400, "max_tokens"},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"kvpress", {{"press", "nothing"}}}}, 400, "kvpress.press"},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"kvpress", {{"budget", "1KiB"}, {"press", "knorm"}}}}, 400, ""},
      {"POST", "/v1/completions", {{"prompt", "a"}, {"kvpress", {{"context", "none"}}}}, 404, "kvpress.context"},
      {"POST",
       "/v1/completions",
       {{"prompt", "a"}, {"kvpress", {{"context_tokens", 50}}}},
       400,
       "kvpress.context_tokens"},
      {"POST", "/v1/chat/completions", Json::object(), 400, "messages"},
      {"GET", "/v1/completions", nullptr, 405, ""},
      {"GET", "/nothing", nullptr, 404, ""},
      {"PUT", "/v1/contexts/x", nullptr, 404, "kvpress.context"},
  };
  for (const Bad& it : kBad) {
    const Reply reply = server.call(it.method, it.path, it.body);
    EXPECT_EQ(reply.status, it.status) << it.path << " " << it.body << reply.body;
    const Json error = Json::parse(reply.body)["error"];
    EXPECT_TRUE(error["message"].is_string()) << reply.body;
    EXPECT_EQ(error["param"].is_null() ? "" : error["param"].get<std::string>(), it.param) << reply.body;
  }
  // Whatever was asked, the next one is answered.
  EXPECT_EQ(server.call("POST", "/v1/completions", {{"prompt", "Once"}, {"max_tokens", 2}}).status, 200);
}

TEST(Service, AClientThatVanishesIsCancelled) {
  DemoService server({.chunk = 64, .max_sequences = 1});
  const auto begun = std::chrono::steady_clock::now();
  const auto body = Json({{"prompt", kText}, {"max_tokens", 900}, {"ignore_eos", true}}).dump();
  const Reply reply =
      server.service.handle({"POST", "/v1/completions", body,
                             [&] { return std::chrono::steady_clock::now() - begun > std::chrono::milliseconds(50); }});
  EXPECT_TRUE(reply.gone || reply.status == 200);
  {
    const Reply stream = server.call("POST", "/v1/completions",
                                     {{"prompt", kText}, {"max_tokens", 900}, {"stream", true}, {"ignore_eos", true}});
    std::string text;
    stream.events->next(text);
  }  // destroyed before its end
  for (int i = 0; i < 1000 && server.scheduler.counts().jobs_cancelled < 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(server.scheduler.counts().jobs_cancelled, 1);
}

TEST(Service, TwoAtOnceDoNotDisturbEachOther) {
  DemoService server;
  const auto ask = [&](const std::string& prompt) {
    return server
        .json("POST", "/v1/completions",
              {{"prompt", prompt}, {"max_tokens", 15}, {"temperature", 0}})["choices"][0]["text"]
        .get<std::string>();
  };
  const std::string prompts[] = {kText, "Once upon a time", "In the beginning", "She said"};
  std::vector<std::string> alone, together(4);
  for (const std::string& it : prompts) alone.push_back(ask(it));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { together[i] = ask(prompts[i]); });
  for (std::thread& it : threads) it.join();
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace kvpress::serve
