#include "hub/hub_cache.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "temporary_folder.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

TEST(HubName, IsReadAsItIsWritten) {
  const auto name = parse_hub_name("EleutherAI/pythia-70m");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->id, "EleutherAI/pythia-70m");
  EXPECT_EQ(name->revision, "main");
  EXPECT_EQ(name->file, "");
  EXPECT_EQ(parse_hub_name("a/b@refs/pr/1")->revision, "refs/pr/1");
  const auto file = parse_hub_name("TheBloke/Some-GGUF/deep/some.Q4_0.gguf@v2");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->id, "TheBloke/Some-GGUF");
  EXPECT_EQ(file->file, "deep/some.Q4_0.gguf");
  EXPECT_EQ(file->revision, "v2");
  EXPECT_EQ(file->text(), "TheBloke/Some-GGUF/deep/some.Q4_0.gguf@v2");
}

TEST(HubName, IsNoPathAndNoWord) {
  for (const char* text : {"",
                           "demo",
                           "./a/b",
                           "/a/b",
                           "a/b.gguf",
                           "a/b.safetensors",
                           "a/b@",
                           "a/b@/etc",
                           "a/b@..",
                           "a/b@x/../y",
                           "@",
                           "a b/c",
                           "a/",
                           "a//b",
                           "a/b/",
                           "a/b/c",
                           "a/b/c.txt",
                           "a/b/../c.gguf",
                           "../b/c.gguf",
                           ".a/b",
                           "a/.b",
                           "a--b/c",
                           "a/b..c",
                           "a/b.git",
                           "-a/b",
                           "a/b-",
                           "a/\xc3\xa9",
                           "a\\b/c"}) {
    EXPECT_FALSE(parse_hub_name(text)) << text;
  }
  EXPECT_FALSE(parse_hub_name(std::string(97, 'a') + "/b"));
}

TEST(HubRepository, LinksAreRelativeAndRefsAreFiles) {
  const test::TemporaryFolder folder;
  const HubRepository repository(folder.path(), "Some/model");
  EXPECT_EQ(repository.folder(), folder.path() / "models--Some--model");
  EXPECT_FALSE(repository.cached("main"));
  make_folders(repository.blob("e").parent_path());
  folder.file("models--Some--model/blobs/e", "content");
  repository.link("c0ffee", "config.json", "e");
  repository.link("c0ffee", "deep/down/some.gguf", "e");
  repository.set_ref("refs/pr/1", "c0ffee");
  EXPECT_EQ(fs::read_symlink(repository.snapshot("c0ffee") / "config.json"), "../../blobs/e");
  EXPECT_EQ(fs::read_symlink(repository.snapshot("c0ffee") / "deep/down/some.gguf"), "../../../../blobs/e");
  EXPECT_EQ(fs::file_size(repository.snapshot("c0ffee") / "deep/down/some.gguf"), 7u);
  EXPECT_EQ(repository.cached("refs/pr/1"), repository.snapshot("c0ffee"));
  EXPECT_EQ(repository.cached("c0ffee"), repository.snapshot("c0ffee"));
  EXPECT_FALSE(repository.cached("main"));
}

}  // namespace
}  // namespace kvpress
