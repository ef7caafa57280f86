#include "kvpress/formats/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/mutations.h"
#include "kvpress/base/error.h"
#include "test_data.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryFolder;
using ::testing::HasSubstr;

void copy_model(const fs::path& to) {
  fs::create_directories(to);
  fs::copy(test::data_dir() / "models/llama-gqa", to, fs::copy_options::recursive);
}

class ModelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("KVPRESS_DATA_DIR", test::project_dir().c_str(), 1);
    for (const char* name : kCacheVariables) ::unsetenv(name);
    ::setenv("HF_HOME", folder_.path().c_str(), 1);
    ::setenv("HF_HUB_OFFLINE", "1", 1);
  }
  void TearDown() override {
    ::unsetenv("KVPRESS_DATA_DIR");
    for (const char* name : kCacheVariables) ::unsetenv(name);
    ::setenv("HOME", home_.c_str(), 1);
  }
  static constexpr const char* kCacheVariables[] = {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
                                                    "XDG_CACHE_HOME"};
  const std::string home_ = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  const TemporaryFolder folder_;
};

TEST_F(ModelFilesTest, Folder) {
  const fs::path path = test::data_dir() / "models/llama-gqa";
  const ModelFiles files = open_model_files(path.string());
  EXPECT_EQ(files.path, path);
  EXPECT_EQ(files.config_json, path / "config.json");
  EXPECT_EQ(files.gguf, nullptr);
  EXPECT_FALSE(files.tensors->tensors().empty());
}

TEST_F(ModelFilesTest, SafetensorsBesideItsConfig) {
  const fs::path path = test::data_dir() / "models/llama-gqa/model.safetensors";
  EXPECT_EQ(open_model_files(path.string()).config_json, path.parent_path() / "config.json");
  copy_model(folder_.path() / "m");
  fs::remove(folder_.path() / "m/config.json");
  EXPECT_THAT(error_of([&] { open_model_files((folder_.path() / "m/model.safetensors").string()); }),
              HasSubstr("needs a config.json in the same folder"));
  EXPECT_THAT(error_of([&] { open_model_files((folder_.path() / "m").string()); }), HasSubstr("has no config.json"));
}

TEST_F(ModelFilesTest, TheFirstTokenizerThatIsThere) {
  copy_model(folder_.path() / "m");
  fs::remove(folder_.path() / "m/tokenizer.json");
  const auto tokenizer = [&] { return open_model_files((folder_.path() / "m").string()).tokenizer.filename(); };
  EXPECT_EQ(tokenizer(), "");
  for (const char* name : {"tekken.json", "tokenizer.model", "tokenizer.json"}) {
    folder_.file(std::string("m/") + name, "");
    EXPECT_EQ(tokenizer(), name);
    EXPECT_EQ(open_model_files((folder_.path() / "m/model.safetensors").string()).tokenizer.filename(), name);
  }
}

TEST_F(ModelFilesTest, Gguf) {
  const ModelFiles files = open_model_files((test::data_dir() / "formats/types.gguf").string());
  ASSERT_NE(files.gguf, nullptr);
  EXPECT_EQ(files.gguf, files.tensors.get());
  EXPECT_TRUE(files.config_json.empty());
  EXPECT_TRUE(files.tokenizer.empty());
}

TEST_F(ModelFilesTest, Demo) {
  const ModelFiles files = open_model_files("demo");
  EXPECT_EQ(files.name, "demo");
  EXPECT_EQ(files.path, test::project_dir() / "models/kvpress-demo");
  EXPECT_FALSE(files.tokenizer.empty());
  ::setenv("KVPRESS_DATA_DIR", folder_.path().c_str(), 1);
  EXPECT_THAT(error_of([] { open_model_files("demo"); }), HasSubstr("has no config.json"));
}

TEST_F(ModelFilesTest, HubId) {
  const fs::path repository = folder_.path() / "hub/models--Some--model";
  copy_model(repository / "snapshots/abc123");
  fs::create_directories(repository / "refs/pr");
  folder_.file("hub/models--Some--model/refs/main", "abc123\n");
  folder_.file("hub/models--Some--model/refs/step1000", "abc123");
  folder_.file("hub/models--Some--model/refs/pr/1", "abc123");
  for (const char* name :
       {"Some/model", "Some/model@main", "Some/model@step1000", "Some/model@abc123", "Some/model@pr/1"}) {
    const ModelFiles files = open_model_files(name);
    EXPECT_EQ(files.name, name);
    EXPECT_EQ(files.path, repository / "snapshots/abc123");
  }
  ::setenv("HF_HUB_CACHE", (folder_.path() / "hub").c_str(), 1);
  ::setenv("HF_HOME", "/nonexistent", 1);
  EXPECT_EQ(open_model_files("Some/model").path, repository / "snapshots/abc123");
}

TEST_F(ModelFilesTest, HubCacheIsWhereTheHubsOwnProgramsPutIt) {
  const auto looked_at = [](std::initializer_list<std::pair<const char*, const char*>> variables) {
    for (const char* name : kCacheVariables) ::unsetenv(name);
    for (const auto& [name, value] : variables) ::setenv(name, value, 1);
    const std::string message = error_of([] { open_model_files("a/b"); });
    const auto begin = message.find('(') + 1;
    return message.substr(begin, message.find("/models--a--b)") - begin);
  };
  ::setenv("HOME", "/somebody", 1);
  EXPECT_EQ(looked_at({}), "/somebody/.cache/huggingface/hub");
  EXPECT_EQ(looked_at({{"XDG_CACHE_HOME", "/x"}}), "/x/huggingface/hub");
  EXPECT_EQ(looked_at({{"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "/h"}}), "/h/hub");
  EXPECT_EQ(looked_at({{"HF_HOME", "~/h"}}), "/somebody/h/hub");
  EXPECT_EQ(looked_at({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}), "/old");
  EXPECT_EQ(looked_at({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HUB_CACHE", "/c"}}), "/c");
  EXPECT_EQ(looked_at({{"HF_HOME", "/h"}, {"HF_HUB_CACHE", ""}}), "/h/hub");
}

TEST_F(ModelFilesTest, HubCacheWithoutTheSnapshotOrItsWeights) {
  const fs::path repository = folder_.path() / "hub/models--a--b";
  fs::create_directories(repository / "refs");
  fs::create_directories(repository / "snapshots/empty");
  folder_.file("hub/models--a--b/refs/main", "gone");
  EXPECT_THAT(error_of([] { open_model_files("a/b"); }), HasSubstr("kvpress pull a/b"));
  EXPECT_THAT(error_of([] { open_model_files("a/b@empty"); }), HasSubstr("kvpress pull a/b@empty"));
  folder_.file("hub/models--a--b/snapshots/empty/config.json", "{}");
  EXPECT_THAT(error_of([] { open_model_files("a/b@empty"); }), HasSubstr("kvpress pull a/b@empty"));
}

TEST_F(ModelFilesTest, HubIdThatIsNotHereSaysHowToGetItWithoutANetwork) {
  const std::string message = error_of([] { open_model_files("EleutherAI/pythia-70m@step1000"); });
  EXPECT_THAT(message, HasSubstr("models--EleutherAI--pythia-70m"));
  EXPECT_THAT(message, HasSubstr("kvpress pull EleutherAI/pythia-70m@step1000"));
}

TEST_F(ModelFilesTest, NamesThatAreNothing) {
  EXPECT_THAT(error_of([] { open_model_files("nothing"); }), HasSubstr("no such file or folder"));
  for (const char* name : {"./a/b", "a/b.gguf", "a/b@", "a/b@/etc", "a/b@..", "@", "a@b/c", "a b/c", "a/", "a//b"}) {
    EXPECT_THAT(error_of([&] { open_model_files(name); }), HasSubstr("no such file or folder")) << name;
  }
  EXPECT_THROW(open_model_files(""), Error);
  EXPECT_THROW(open_model_files("Some/../model"), Error);
  EXPECT_THROW(open_model_files(std::string(10000, 'x')), Error);
  EXPECT_THROW(open_model_files(folder_.file("model.bin", "x").string()), UsageError);
}

}  // namespace
}  // namespace kvpress
