// Against a hub of its own (tests/fake_hub.h).
#include "hub/pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "fake_hub.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::FakeHub;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr RetrySettings kQuick{4, 0.001, 2};
constexpr const char* kWeights = "model.safetensors";

std::string large_content() {
  std::string content;
  for (int i = 0; i < 200000; ++i) content += static_cast<char>(i * 7 % 251);
  return content;
}

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_quiet(true);
    hub_.files = {{"config.json", {"{}"}},
                  {"tokenizer.json", {"{\"a\": 1}"}},
                  {"README.md", {"read"}},
                  {"pytorch_model.bin", {"pickled", true}},
                  {"onnx/model.onnx", {"o", true}},
                  {"tokenizer_config.json", {"{}"}},
                  {kWeights, {large_content(), true}}};
  }
  void TearDown() override { set_quiet(false); }

  Pulled pull(const std::string& text = "Some/model", const std::vector<std::string>& files = {}) {
    return pull_model(hub_settings(), parse_hub_name(text).value(), files, kQuick);
  }
  std::string error(const std::string& text = "Some/model", const std::vector<std::string>& files = {}) {
    try {
      pull(text, files);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
      return error.what();
    }
    return "no error";
  }
  std::vector<std::string> blobs() const {
    std::vector<std::string> names;
    for (const auto& it : fs::directory_iterator(hub_.repository() / "blobs")) names.push_back(it.path().filename());
    return names;
  }
  fs::path incomplete() const { return hub_.blob(kWeights).string() + ".incomplete"; }

  FakeHub hub_;
};

TEST_F(PullTest, BringsWhatIsNeededInTheHubsOwnLayout) {
  const Pulled pulled = pull();
  EXPECT_EQ(pulled.commit, FakeHub::kCommit);
  EXPECT_EQ(pulled.snapshot, hub_.repository() / "snapshots" / FakeHub::kCommit);
  EXPECT_THAT(pulled.files, UnorderedElementsAre("config.json", "tokenizer.json", "tokenizer_config.json", kWeights));
  for (const std::string& it : pulled.files) {
    EXPECT_EQ(read_file(pulled.snapshot / it), hub_.files.at(it).content) << it;
    EXPECT_EQ(fs::canonical(pulled.snapshot / it), fs::canonical(hub_.blob(it))) << it;
  }
  EXPECT_EQ(fs::read_symlink(pulled.snapshot / kWeights),
            fs::path("../../blobs") / test::sha256(hub_.files.at(kWeights).content));
  EXPECT_EQ(read_file(hub_.repository() / "refs/main"), FakeHub::kCommit);
  EXPECT_FALSE(fs::exists(pulled.snapshot / "README.md"));
  EXPECT_FALSE(fs::exists(pulled.snapshot / "pytorch_model.bin"));
  EXPECT_FALSE(fs::exists(pulled.snapshot / "onnx"));
  EXPECT_EQ(find_pulled(hub_settings(), *parse_hub_name("Some/model")), pulled.snapshot);
}

TEST_F(PullTest, BringsChatTemplatesOfTheirOwnFolder) {
  hub_.files["additional_chat_templates/tools.jinja"] = {"{{ tools }}"};
  hub_.files["additional_chat_templates/notes.md"] = {"notes"};
  const Pulled pulled = pull();
  EXPECT_EQ(read_file(pulled.snapshot / "additional_chat_templates/tools.jinja"), "{{ tools }}");
  EXPECT_FALSE(fs::exists(pulled.snapshot / "additional_chat_templates/notes.md"));
}

TEST_F(PullTest, FetchesNothingTwice) {
  pull();
  hub_.server().forget_requests();
  pull();
  const auto requests = hub_.server().requests();
  ASSERT_EQ(requests.size(), 1u);  // what is main now?
  EXPECT_THAT(requests[0].path, HasSubstr("/api/models/"));
}

TEST_F(PullTest, CompletesWhatAnotherProgramHasLeft) {
  const HubName name = *parse_hub_name("Some/model");
  pull("Some/model", {"config.json", kWeights});  // as AutoModel.from_pretrained leaves it
  const auto snapshot = find_pulled(hub_settings(), name).value();
  EXPECT_FALSE(fs::exists(snapshot / "tokenizer.json"));
  complete_snapshot(hub_settings(), name, snapshot, kQuick);
  EXPECT_EQ(read_file(snapshot / "tokenizer.json"), "{\"a\": 1}");
  EXPECT_TRUE(fs::exists(snapshot / "tokenizer_config.json"));
  // What there is not is remembered, as huggingface_hub does.
  EXPECT_TRUE(fs::exists(hub_.repository() / ".no_exist" / FakeHub::kCommit / "chat_template.jinja"));
  hub_.server().forget_requests();
  complete_snapshot(hub_settings(), name, snapshot, kQuick);
  EXPECT_EQ(hub_.server().requests().size(), 0u);
}

TEST_F(PullTest, AnotherTokenizerWhereThereIsNoTokenizerJson) {
  hub_.files["tokenizer.model"] = {"pieces"};
  hub_.files["tekken.json"] = {"{}"};
  EXPECT_THAT(pull().files, UnorderedElementsAre("config.json", "tokenizer.json", "tokenizer_config.json", kWeights));
  hub_.files.erase("tokenizer.json");
  fs::remove_all(hub_.repository());
  EXPECT_THAT(pull().files, UnorderedElementsAre("config.json", "tokenizer.model", "tokenizer_config.json", kWeights));
  hub_.files.erase("tokenizer.model");
  fs::remove_all(hub_.repository());
  const Pulled pulled = pull();
  EXPECT_THAT(pulled.files, UnorderedElementsAre("config.json", "tekken.json", "tokenizer_config.json", kWeights));
  hub_.server().forget_requests();
  complete_snapshot(hub_settings(), *parse_hub_name("Some/model"), pulled.snapshot, kQuick);
  EXPECT_EQ(hub_.server().requests().size(), 0u);
}

TEST_F(PullTest, ASnapshotThatIsPulledIsComplete) {
  const Pulled pulled = pull();
  hub_.server().forget_requests();
  complete_snapshot(hub_settings(), *parse_hub_name("Some/model"), pulled.snapshot, kQuick);
  EXPECT_EQ(hub_.server().requests().size(), 0u);
}

TEST_F(PullTest, WhatCannotBeCompletedIsNamed) {
  const HubName name = *parse_hub_name("Some/model");
  pull("Some/model", {"config.json", kWeights});
  const auto snapshot = find_pulled(hub_settings(), name).value();
  HubSettings settings = hub_settings();
  const auto message = [&] {
    try {
      complete_snapshot(settings, name, snapshot, kQuick);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  settings.endpoint = "http://127.0.0.1:9";
  EXPECT_THAT(message(), HasSubstr("lacks generation_config.json, tokenizer.json, "));
  EXPECT_THAT(message(), HasSubstr("when a network is available, run: kvpress pull Some/model"));
  settings.offline = true;
  EXPECT_THAT(message(), HasSubstr("HF_HUB_OFFLINE is set; unset it and run: kvpress pull Some/model"));
}

TEST_F(PullTest, FilesByName) {
  EXPECT_THAT(pull("Some/model", {"README.md", "onnx/model.onnx"}).files, ElementsAre("README.md", "onnx/model.onnx"));
  EXPECT_EQ(read_file(hub_.repository() / "snapshots" / FakeHub::kCommit / "onnx/model.onnx"), "o");
  EXPECT_FALSE(find_pulled(hub_settings(), *parse_hub_name("Some/model")));
  EXPECT_THAT(error("Some/model", {"nothing.txt"}), HasSubstr("has no file 'nothing.txt' in revision 'main'"));
}

TEST_F(PullTest, ShardsOfAnIndex) {
  hub_.files.erase(kWeights);
  hub_.files["model.safetensors.index.json"] = {
      R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}})"};
  hub_.files["model-1.safetensors"] = {"one", true};
  hub_.files["model-2.safetensors"] = {"two", true};
  hub_.files["model-3.safetensors"] = {"not of the index", true};
  const Pulled pulled = pull();
  EXPECT_EQ(read_file(pulled.snapshot / "model-2.safetensors"), "two");
  EXPECT_FALSE(fs::exists(pulled.snapshot / "model-3.safetensors"));
  EXPECT_TRUE(find_pulled(hub_settings(), *parse_hub_name("Some/model")));
  fs::remove(pulled.snapshot / "model-2.safetensors");
  EXPECT_FALSE(find_pulled(hub_settings(), *parse_hub_name("Some/model")));
  fs::remove_all(hub_.repository());
  hub_.files["model.safetensors.index.json"] = {R"({"weight_map": {"a": "../../evil"}})"};
  EXPECT_THAT(error(), HasSubstr("'../../evil' is not a file name"));
  fs::remove_all(hub_.repository());
  hub_.files["model.safetensors.index.json"] = {"[]"};
  EXPECT_THAT(error(), HasSubstr("is not a safetensors index"));
}

TEST_F(PullTest, OneFileOfAGgufRepository) {
  hub_.files = {{"some.Q4_0.gguf", {"G4", true}}, {"deep/some.Q8_0.gguf", {"G8", true}}};
  EXPECT_THAT(error(), HasSubstr("contains GGUF files; choose one, such as Some/model/deep/some.Q8_0.gguf"));
  const Pulled pulled = pull("Some/model/deep/some.Q8_0.gguf");
  EXPECT_EQ(read_file(pulled.snapshot / "deep/some.Q8_0.gguf"), "G8");
  EXPECT_EQ(find_pulled(hub_settings(), *parse_hub_name("Some/model/deep/some.Q8_0.gguf")),
            pulled.snapshot / "deep/some.Q8_0.gguf");
  EXPECT_FALSE(find_pulled(hub_settings(), *parse_hub_name("Some/model/some.Q4_0.gguf")));
  hub_.files = {{"config.json", {"{}"}}, {"pytorch_model.bin", {"p", true}}};
  EXPECT_THAT(error(), HasSubstr("contains no model.safetensors"));
}

TEST_F(PullTest, ACutConnectionIsTakenUpWhereItWasCut) {
  hub_.next_large.push_back({.cut_after = 50000});
  hub_.next_large.push_back({.cut_after = 70000});
  const Pulled pulled = pull();
  EXPECT_EQ(read_file(pulled.snapshot / kWeights), large_content());
  std::vector<std::string> ranges;
  for (const auto& it : hub_.server().requests()) {
    if (it.path == "/elsewhere/model.safetensors" && it.method == "GET") ranges.push_back(it.header("range"));
  }
  EXPECT_THAT(ranges, ElementsAre("", "bytes=50000-", "bytes=120000-"));
}

TEST_F(PullTest, AServerWithoutRangesSendsTheWholeAgain) {
  hub_.ranges = false;
  hub_.next_large.push_back({.cut_after = 50000});
  EXPECT_EQ(read_file(pull().snapshot / kWeights), large_content());
}

TEST_F(PullTest, WhatABrokenOffDownloadLeftIsGoneOnFrom) {
  for (int i = 0; i < 8; ++i) hub_.next_large.push_back({.cut_after = i == 0 ? 60000 : 0});
  EXPECT_THAT(error(), HasSubstr("cannot be reached"));
  EXPECT_EQ(fs::file_size(incomplete()), 60000u);
  EXPECT_FALSE(fs::exists(hub_.repository() / "refs/main"));
  hub_.next_large.clear();
  hub_.server().forget_requests();
  EXPECT_EQ(read_file(pull().snapshot / kWeights), large_content());
  EXPECT_EQ(hub_.server().requests().back().header("range"), "bytes=60000-");
  EXPECT_FALSE(fs::exists(incomplete()));
}

TEST_F(PullTest, WhatIsLeftOfAnotherFileIsThrownAway) {
  for (const std::size_t size : {100u, 200000u, 300000u}) {
    fs::remove_all(hub_.repository());
    fs::create_directories(incomplete().parent_path());
    std::ofstream(incomplete()) << std::string(size, 'x');
    EXPECT_EQ(read_file(pull().snapshot / kWeights), large_content()) << size;
  }
}

TEST_F(PullTest, WrongContentIsRefused) {
  hub_.content_sent = large_content();
  hub_.content_sent[1000] ^= 1;
  EXPECT_THAT(error(), HasSubstr("does not have the hash " + test::sha256(large_content())));
  EXPECT_FALSE(fs::exists(incomplete()));
  EXPECT_FALSE(fs::exists(hub_.blob(kWeights)));
  EXPECT_FALSE(fs::exists(hub_.repository() / "snapshots" / FakeHub::kCommit / kWeights));
  // A small file is checked by git's hash.
  hub_.content_sent = "";
  hub_.next.emplace_back("/config.json",
                         test::Reply{200, {{"ETag", "\"" + test::git_sha1("{}") + "\""}}, "{}", {}, {}});
  hub_.next.emplace_back("/config.json", test::Reply{200, {}, "[]", {}, {}});
  fs::remove_all(hub_.repository());
  EXPECT_THAT(error(), HasSubstr("config.json: the downloaded file does not have the hash"));
}

TEST_F(PullTest, WrongSizeIsRefused) {
  hub_.content_sent = large_content() + "more";
  EXPECT_THAT(error(), HasSubstr("received more than the 200000 bytes"));
  hub_.content_sent = large_content().substr(0, 1000);
  EXPECT_THAT(error(), HasSubstr("received 1000 bytes instead of 200000"));
  EXPECT_FALSE(fs::exists(hub_.blob(kWeights)));
}

TEST_F(PullTest, NoSpaceIsSaidBeforehand) {
  hub_.size_told = std::size_t{1} << 60;
  EXPECT_THAT(error(), HasSubstr("free some space, or set HF_HUB_CACHE"));
  EXPECT_EQ(hub_.server().count("GET", "/elsewhere/"), 0u);
}

TEST_F(PullTest, TriesAgainWhenItIsTold) {
  hub_.next.emplace_back("/api/", test::Reply{429, {{"Retry-After", "1"}}, "", {}, {}});
  hub_.next.emplace_back("/api/", test::Reply{503, {}, "", {}, {}});
  hub_.next.emplace_back("/elsewhere/", test::Reply{500, {}, "", {}, {}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(read_file(pull().snapshot / kWeights), large_content());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(hub_.server().count("GET", "/api/"), 3u);
}

TEST_F(PullTest, GivesUpWhenItDoesNotHelp) {
  for (int i = 0; i < 4; ++i) hub_.next.emplace_back("/api/", test::Reply{502, {}, "", {}, {}});
  EXPECT_THAT(error(), HasSubstr("returned HTTP status 502"));
  EXPECT_EQ(hub_.server().count("GET", "/api/"), 4u);
  // An hour is not waited.
  hub_.next.emplace_back("/api/", test::Reply{429, {{"Retry-After", "3600"}}, "", {}, {}});
  EXPECT_THAT(error(), HasSubstr("HTTP status 429"));
  hub_.next.emplace_back("/api/", test::Reply{429, {{"ratelimit", "\"api\";r=0;t=3600"}}, "", {}, {}});
  EXPECT_THAT(error(), HasSubstr("HTTP status 429"));
}

TEST_F(PullTest, TheTokenIsSentAndStaysAtHome) {
  hub_.token = "hf_secret";
  EXPECT_THAT(error(), HasSubstr("has no public model with this id; check the id, or set HF_TOKEN"));
  {
    const test::ScopedVariable token("HF_TOKEN", "hf_wrong");
    EXPECT_THAT(error(), HasSubstr("refuses the token; check the id and HF_TOKEN"));
  }
  hub_.server().forget_requests();
  const test::ScopedVariable token("HF_TOKEN", "hf_secret\n");
  pull();
  std::size_t elsewhere = 0;
  for (const auto& it : hub_.server().requests()) {
    const bool home = it.header("host").starts_with("127.0.0.1");
    EXPECT_EQ(it.header("authorization"), home ? "Bearer hf_secret" : "") << it.path;
    elsewhere += home ? 0 : 1;
  }
  EXPECT_GE(elsewhere, 1u);
}

TEST_F(PullTest, TheTokenDoesNotComeBackFromElsewhere) {
  const test::ScopedVariable token("HF_TOKEN", "hf_secret");
  hub_.next.emplace_back(
      "/elsewhere/",
      test::Reply{302, {{"Location", hub_.server().url() + "/elsewhere/model.safetensors"}}, "", {}, {}});
  pull();
  for (const auto& it : hub_.server().requests()) {
    if (it.path.starts_with("/elsewhere/")) {
      EXPECT_EQ(it.header("authorization"), "");
    }
  }
}

TEST_F(PullTest, TheTokenOfTheFile) {
  hub_.token = "hf_filed";
  std::ofstream(hub_.home() / "token") << "hf_filed\n";
  pull();
  std::ofstream(hub_.home() / "other") << "hf_other";
  const test::ScopedVariable path("HF_TOKEN_PATH", (hub_.home() / "other").string());
  EXPECT_THAT(error(), HasSubstr("refuses the token"));
}

TEST_F(PullTest, ARenamedModelIsFollowed) {
  hub_.next.emplace_back("/api/models/Old/model",
                         test::Reply{307, {{"Location", "/api/models/Some/model/revision/main"}}, "", {}, {}});
  EXPECT_THAT(error("Old/model", {"config.json"}),
              HasSubstr("has no file 'config.json'"));  // then it is asked for by name
  for (int i = 0; i < 2; ++i) {
    hub_.next.emplace_back(
        "/Old/model/resolve",
        test::Reply{
            307, {{"Location", std::string("/Some/model/resolve/") + FakeHub::kCommit + "/config.json"}}, "", {}, {}});
  }
  hub_.next.emplace_back("/api/models/Old/model",
                         test::Reply{307, {{"Location", "/api/models/Some/model/revision/main"}}, "", {}, {}});
  EXPECT_EQ(read_file(pull("Old/model", {"config.json"}).snapshot / "config.json"), "{}");
}

TEST_F(PullTest, ErrorsSayWhatWouldBeRight) {
  EXPECT_THAT(error("No/model"), HasSubstr("No/model: " + hub_.server().url() + " has no model with this id"));
  EXPECT_THAT(error("Some/model@v9"), HasSubstr("has no revision 'v9' of this model"));
  hub_.next.emplace_back("/api/", test::Reply{403, {{"X-Error-Code", "GatedRepo"}}, "", {}, {}});
  EXPECT_THAT(error(), HasSubstr("accept its terms at " + hub_.server().url() + "/Some/model, then set HF_TOKEN"));
  hub_.next.emplace_back("/api/", test::Reply{403, {}, "", {}, {}});
  EXPECT_THAT(error(), HasSubstr("set HF_TOKEN to a token with access to this model"));
  hub_.next.emplace_back("/api/", test::Reply{200, {}, "<html>", {}, {}});
  EXPECT_THAT(error(), HasSubstr("does not respond like a hub; check HF_ENDPOINT"));
  hub_.next.emplace_back("/config.json", test::Reply{200, {}, "{}", {}, {}});
  EXPECT_THAT(error(), HasSubstr("does not report the hash and size of 'config.json'"));
  hub_.next.emplace_back("/config.json", test::Reply{200, {{"ETag", "\"../../x\""}}, "{}", {}, {}});
  EXPECT_THAT(error(), HasSubstr("does not report the hash and size of 'config.json'"));
  const test::ScopedVariable endpoint("HF_ENDPOINT", "hub.example");
  EXPECT_THROW(hub_settings(), UsageError);
}

TEST_F(PullTest, WithoutANetwork) {
  {
    const test::ScopedVariable offline("HF_HUB_OFFLINE", "1");
    EXPECT_THAT(error("Some/model@v2"), HasSubstr("HF_HUB_OFFLINE is set; unset it and run: kvpress pull "
                                                  "Some/model@v2"));
    EXPECT_TRUE(hub_.server().requests().empty());
  }
  const test::ScopedVariable nobody("HF_ENDPOINT", "http://127.0.0.1:9");
  EXPECT_THAT(error(), HasSubstr("http://127.0.0.1:9: cannot be reached"));
  EXPECT_THAT(error(), HasSubstr("when a network is available, run: kvpress pull Some/model"));
}

TEST_F(PullTest, AnotherRevision) {
  hub_.revisions.insert("refs/pr/1");
  pull("Some/model@refs/pr/1");
  EXPECT_EQ(read_file(hub_.repository() / "refs/refs/pr/1"), FakeHub::kCommit);
  EXPECT_FALSE(fs::exists(hub_.repository() / "refs/main"));
  pull(std::string("Some/model@") + FakeHub::kCommit);
  EXPECT_FALSE(fs::exists(hub_.repository() / "refs" / FakeHub::kCommit));
}

}  // namespace
}  // namespace kvpress
