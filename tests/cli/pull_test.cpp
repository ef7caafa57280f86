// kvpress pull, and models that other commands fetch: against a hub of the test's own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "cli/program.h"
#include "fake_hub.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::content_of;
using test::Ended;
using test::FakeHub;
using test::kProgram;
using test::kProjectDir;
using test::kTestDir;
using test::run_program;
using testing::HasSubstr;

class PullCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const fs::path model = fs::path(kProjectDir) / "models/kvpress-demo";
    hub_.files["config.json"] = {content_of(model / "config.json")};
    hub_.files["tokenizer.json"] = {content_of(model / "tokenizer.json")};
    hub_.files["model.safetensors"] = {content_of(model / "model.safetensors"), true};
    hub_.files["tiny.gguf"] = {content_of(fs::path(kTestDir) / "data/formats/types.gguf"), true};
  }
  fs::path snapshot() const { return hub_.repository() / "snapshots" / FakeHub::kCommit; }

  /// The program, started and not waited for.
  static pid_t start(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    arguments.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      const int nowhere = ::open("/dev/null", O_WRONLY);
      ::dup2(nowhere, STDOUT_FILENO);
      ::dup2(nowhere, STDERR_FILENO);
      ::execv(kProgram, const_cast<char* const*>(arguments.data()));
      ::_exit(127);
    }
    return child;
  }
  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }
  bool weights_grow() const {
    const fs::path file = hub_.blob("model.safetensors").string() + ".incomplete";
    for (int i = 0; i < 500; ++i) {
      std::error_code error;
      if (fs::file_size(file, error) > 100000 && !error) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  FakeHub hub_;
};

TEST_F(PullCommand, PrintsTheFolder) {
  const Ended ended = run_program("pull Some/model");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, snapshot().string() + "\n");
  EXPECT_THAT(ended.err, HasSubstr("downloaded Some/model/model.safetensors"));
  EXPECT_THAT(ended.err, testing::Not(HasSubstr("\r")));  // no bar where there is no terminal
  const test::ScopedVariable offline("HF_HUB_OFFLINE", "1");
  EXPECT_EQ(run_program("pull Some/model").out, ended.out);
}

TEST_F(PullCommand, AnyCommandFetchesWhatItNeeds) {
  const Ended ended = run_program("ppl -m Some/model --max-samples 4 --quiet");
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto perplexity = [](const Ended& run) { return run.out.substr(run.out.find("\"perplexity\""), 40); };
  EXPECT_EQ(perplexity(ended), perplexity(run_program("ppl -m demo --max-samples 4 --quiet")));
  // Then it is there, and nobody is asked.
  hub_.server().forget_requests();
  EXPECT_EQ(run_program("inspect Some/model").code, 0);
  EXPECT_TRUE(hub_.server().requests().empty());
}

TEST_F(PullCommand, AFileOfAGgufRepository) {
  hub_.server().forget_requests();
  EXPECT_EQ(run_program("pull Some/model/tiny.gguf").out, (snapshot() / "tiny.gguf").string() + "\n");
  EXPECT_EQ(hub_.server().count("GET", "/elsewhere/"), 1u);
  const Ended ended = run_program("inspect Some/model/tiny.gguf");
  EXPECT_EQ(hub_.server().count("GET", "/elsewhere/"), 1u);
  EXPECT_THAT(ended.err, testing::Not(HasSubstr("no such file")));
}

TEST_F(PullCommand, KilledItLeavesOnlyWhatCanBeGoneOnFrom) {
  hub_.next_large.push_back({.stall_after = 1000000});
  const pid_t child = start({"pull", "Some/model"});
  ASSERT_TRUE(weights_grow());
  ::kill(child, SIGKILL);
  wait_for(child);
  EXPECT_FALSE(fs::exists(snapshot() / "model.safetensors"));
  EXPECT_FALSE(fs::exists(hub_.repository() / "refs/main"));
  EXPECT_FALSE(fs::exists(hub_.blob("model.safetensors")));
  hub_.server().forget_requests();
  EXPECT_EQ(run_program("pull Some/model").code, 0);
  EXPECT_THAT(hub_.server().requests().back().header("range"), testing::StartsWith("bytes="));
  EXPECT_EQ(content_of(snapshot() / "model.safetensors"), hub_.files["model.safetensors"].content);
  for (const auto& it : fs::directory_iterator(hub_.repository() / "blobs")) {
    EXPECT_NE(it.path().extension(), ".incomplete");
  }
}

TEST_F(PullCommand, CtrlCEndsItAtOnce) {
  hub_.next_large.push_back({.stall_after = 1000000});
  const pid_t child = start({"pull", "Some/model"});
  ASSERT_TRUE(weights_grow());
  const auto begin = std::chrono::steady_clock::now();
  ::kill(child, SIGINT);
  const int status = wait_for(child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST_F(PullCommand, TwoAtOnceDoNotHarmEachOther) {
  const pid_t first = start({"pull", "Some/model"});
  const pid_t second = start({"pull", "Some/model"});
  EXPECT_EQ(wait_for(first), 0);
  EXPECT_EQ(wait_for(second), 0);
  EXPECT_EQ(content_of(snapshot() / "model.safetensors"), hub_.files["model.safetensors"].content);
  EXPECT_EQ(hub_.server().count("GET", "/elsewhere/"), 1u);  // one fetched, the other waited
}

TEST_F(PullCommand, WhatCannotBeMeant) {
  const auto expect = [](const std::string& arguments, int code, const std::string& names) {
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, code) << arguments << "\n" << ended.err;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << arguments << "\n" << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(names)) << arguments;
    EXPECT_EQ(ended.out, "");
  };
  expect("pull", 2, "id is required");
  expect("pull pythia", 2, "'pythia' is not a model id; give ORG/NAME");
  expect("pull a/b/c", 2, "'a/b/c' is not a model id");
  expect("pull ../b", 2, "'../b' is not a model id");
  expect("pull Some/model --revision ../x", 2, "--revision: '../x'");
  expect("pull Some/model@a --revision b", 2, "already names revision a");
  expect("pull Some/model --revision v9", 1, "has no revision 'v9'");
  expect("pull Some/model nothing.bin", 1, "has no file 'nothing.bin'");
  expect("pull No/model", 1, "No/model: " + hub_.server().url() + " has no model with this id");
  expect("inspect No/model", 1, "has no model with this id");
  const test::ScopedVariable offline("HF_HUB_OFFLINE", "1");
  expect("inspect Other/model", 1, "HF_HUB_OFFLINE is set; unset it and run: kvpress pull Other/model");
}

}  // namespace
}  // namespace kvpress
