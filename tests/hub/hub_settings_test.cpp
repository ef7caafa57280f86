// Where the hub's cache is: as huggingface_hub finds it.
#include "hub/hub_settings.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "hub_environment.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::HubEnvironment;
using test::ScopedVariable;

fs::path cache_with(const std::string& name, const std::string& value) {
  const HubEnvironment environment;
  const ScopedVariable home("HOME", "/home/some");
  const ScopedVariable scratch("SCRATCH", "/scratch");
  const ScopedVariable variable(name, value);
  return hub_settings().cache;
}

TEST(HubSettings, VariablesAndHomesInPathsAreExpanded) {
  EXPECT_EQ(cache_with("HF_HOME", "~/hf"), "/home/some/hf/hub");
  EXPECT_EQ(cache_with("HF_HOME", "$SCRATCH/hf"), "/scratch/hf/hub");
  EXPECT_EQ(cache_with("HF_HOME", "${SCRATCH}hf"), "/scratchhf/hub");
  EXPECT_EQ(cache_with("HF_HOME", "$HOME$SCRATCH"), "/home/some/scratch/hub");
  EXPECT_EQ(cache_with("HF_HUB_CACHE", "~/models"), "/home/some/models");
  // What is not set stays as it is, as Python's expandvars() leaves it.
  EXPECT_EQ(cache_with("HF_HOME", "/a/$NOT_SET_ANYWHERE/${b"), "/a/$NOT_SET_ANYWHERE/${b/hub");
  EXPECT_EQ(cache_with("HF_HOME", "/a$"), "/a$/hub");
  EXPECT_EQ(cache_with("HF_HOME", "~nobody-has-this-name/hf"), "~nobody-has-this-name/hf/hub");
}

TEST(HubSettings, WithoutHomeTheUserDatabaseHasIt) {
  const HubEnvironment environment;
  const ScopedVariable no_hub("HF_HOME", std::nullopt);
  const ScopedVariable no_cache("XDG_CACHE_HOME", std::nullopt);
  const ScopedVariable no_home("HOME", std::nullopt);
  const passwd* user = ::getpwuid(::getuid());
  if (user == nullptr) GTEST_SKIP() << "this user is not in the user database";
  EXPECT_EQ(hub_settings().cache, fs::path(user->pw_dir) / ".cache/huggingface/hub");
  const ScopedVariable root_home("HF_HOME", "~root/x");
  EXPECT_EQ(hub_settings().cache, fs::path(::getpwnam("root")->pw_dir) / "x/hub");
}

}  // namespace
}  // namespace kvpress
