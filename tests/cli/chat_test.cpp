// kvpress chat, driven by a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

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

}  // namespace
}  // namespace kvpress
