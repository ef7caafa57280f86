// kvpress chat, driven by a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "cli/program.h"

namespace kvpress {
namespace {

using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

class Chat : public testing::Test {
 protected:
  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  }
  TemporaryFolder folder_;
};

TEST_F(Chat, AnswersLineByLine) {
  const std::string script =
      folder_
          .file("script.txt", "Who keeps the light?\n\nAnd the parrot?\n/stats\n//help is a message\n/quit\nno more\n")
          .string();
  const Ended ended = run_program("chat -m demo -n 8 --quiet --budget 400 <" + script);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(count(ended.out, "tokens/s; cache "), 3) << ended.out;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("nothing evicted"), HasSubstr("messages      2"), HasSubstr("of 400 tokens")));
  const Ended again = run_program("chat -m demo -n 8 --quiet --budget 400 <" + script);
  const auto first_line = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  EXPECT_EQ(first_line(again.out), first_line(ended.out));
}

TEST_F(Chat, ALongConversationStaysWithinItsBudget) {
  std::string lines;
  for (int i = 0; i < 40; ++i) {
    lines +=
        "On day " + std::to_string(i) + " the keeper went up the stairs and the parrot said nothing of the weather.\n";
  }
  const std::string script = folder_.file("script.txt", lines + "/stats\n").string();
  const Ended ended =
      run_program("chat -m demo -n 12 --quiet --budget 2MiB --score --system 'Speak as a keeper would.' <" + script);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(count(ended.out, "tokens/s; cache "), 40);
  EXPECT_GT(count(ended.out, " evicted in 1 compression"), 2) << ended.out;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("of 2.0 MiB"), HasSubstr("nats a token"), HasSubstr("positions     cache")));
}

TEST_F(Chat, TurnsAreTakenBackSavedAndLoaded) {
  const std::string file = (folder_.path() / "talk.kv").string();
  const std::string script =
      folder_
          .file("script.txt", "Who keeps the light?\n/undo\n/undo\nWho keeps the light?\n/retry\n/save " + file +
                                  "\nAnd the parrot?\n/load " + file +
                                  "\n/press streaming_llm\nAnd the parrot?\n/stats\n")
          .string();
  const Ended ended = run_program("chat -m demo -n 8 --budget 500 <" + script);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("[0 messages left]"), HasSubstr("[1 message saved to "),
                    HasSubstr("[streaming_llm from the next compression on]"), HasSubstr("messages      2")));
  EXPECT_THAT(ended.err, HasSubstr("there is no message to take away"));
  const Ended asked = run_program("ask -m demo -n 4 --json --quiet " + file + " 'And the parrot?'");
  EXPECT_EQ(asked.code, 0) << asked.err;
  const Ended inspected = run_program("inspect " + file);
  EXPECT_THAT(inspected.out, HasSubstr("a conversation of 1 message"));
  const Ended on = run_program("chat -m demo -n 4 --quiet --budget 500 --context " + file + " <" +
                               folder_.file("more.txt", "And the parrot?\n").string());
  EXPECT_EQ(on.code, 0) << on.err;
}

TEST_F(Chat, WhatIsWrongIsSaidAndTheConversationGoesOn) {
  const std::string script =
      folder_
          .file("script.txt",
                "/sav x\n/save\n/undo now\n/load /nowhere/x.kv\n/press snapvk\n/press kvzip\n/retry\n"
                "/save /proc/nowhere/x.kv\nStill there?\n")
          .string();
  const Ended ended = run_program("chat -m demo -n 4 --budget 400 <" + script);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("command '/sav' is not known (did you mean '/save'?)"), HasSubstr("/save needs FILE"),
                    HasSubstr("/undo takes nothing"), HasSubstr("/nowhere/x.kv"), HasSubstr("did you mean 'snapkv'?"),
                    HasSubstr("--press: kvzip holds more"), HasSubstr("there is no message yet"),
                    HasSubstr("/proc/nowhere/x.kv: cannot write")));
  EXPECT_EQ(count(ended.out, "tokens/s; cache "), 1);
  EXPECT_EQ(run_program("chat -m demo --budget 0.5 </dev/null").code, 2);
  EXPECT_EQ(run_program("chat -m demo --press no_press </dev/null").code, 2);
  EXPECT_EQ(run_program("chat -m demo --budget-low 1.5 </dev/null").code, 2);
  EXPECT_EQ(run_program("chat -m demo --budget 400 </dev/null").code, 0);
}

/// The program at a terminal of its own.
class AtTerminal {
 public:
  explicit AtTerminal(const std::string& command) {
    pid_ = ::forkpty(&fd_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      ::setenv("TERM", "xterm", 1);  // NOLINT(concurrency-mt-unsafe): no other thread yet
      ::execl("/bin/sh", "sh", "-c", ("exec " + std::string(test::kProgram) + " " + command).c_str(), nullptr);
      ::_exit(127);
    }
  }
  AtTerminal(const AtTerminal&) = delete;
  AtTerminal& operator=(const AtTerminal&) = delete;
  ~AtTerminal() { ::close(fd_); }

  void type(std::string_view keys) const { ASSERT_EQ(::write(fd_, keys.data(), keys.size()), std::ssize(keys)); }
  /// What is shown up to `text`, from where the last call ended; all there is after two minutes or at the end.
  std::string until(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (shown_.find(text) == std::string::npos && std::chrono::steady_clock::now() < end) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, 200) <= 0) continue;
      char bytes[4096];
      const ssize_t n = ::read(fd_, bytes, sizeof bytes);
      if (n <= 0) break;
      shown_.append(bytes, static_cast<std::size_t>(n));
    }
    const std::size_t found = shown_.find(text);
    const std::size_t n = found == std::string::npos ? shown_.size() : found + text.size();
    const std::string part = shown_.substr(0, n);
    shown_.erase(0, n);
    return part;
  }
  int code() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  int fd_ = -1;
  pid_t pid_ = -1;
  std::string shown_;  // and not yet asked for
};

TEST_F(Chat, LinesAreEditedAndCtrlCStopsTheAnswerAlone) {
  AtTerminal chat("chat -m demo --budget 400 -n 100000 --ignore-eos");
  EXPECT_THAT(chat.until("> "), HasSubstr("/help shows the commands"));
  chat.type("/stas\x1b[Dt\r");  // a letter left out, put in by going back
  EXPECT_THAT(chat.until("resident"), HasSubstr("messages      0"));
  chat.until("> ");
  chat.type("Who keeps the light?\r");
  chat.until("?\r\n");
  std::this_thread::sleep_for(std::chrono::seconds(1));  // the answer is under way, and would take minutes
  chat.type("\x03");
  EXPECT_THAT(chat.until(", stopped; cache"), HasSubstr(", stopped; cache"));
  chat.until("> ");
  chat.type("half a line\x03");  // which is dropped
  chat.until("> ");
  chat.type("\x1b[A\x1b[A\r");  // the line before the one before
  EXPECT_THAT(chat.until("resident"), HasSubstr("messages      1"));
  chat.until("> ");
  chat.type("\x04");
  chat.until("\x7f");  // nothing more until the end
  EXPECT_EQ(chat.code(), 0);
}

}  // namespace
}  // namespace kvpress
