#include "hub/digest.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

std::string digest(Digest::Kind kind, const std::string& text) {
  Digest digest(kind, static_cast<std::int64_t>(text.size()));
  digest.update(text.substr(0, text.size() / 2));
  digest.update(text.substr(text.size() / 2));
  return digest.hex();
}

// As sha256sum and git hash-object say.
TEST(Digest, IsThatOfSha256sumAndGit) {
  EXPECT_EQ(digest(Digest::Kind::sha256, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest(Digest::Kind::sha256, "hello\n"),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  EXPECT_EQ(digest(Digest::Kind::git_sha1, ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(digest(Digest::Kind::git_sha1, "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace kvpress
