// compress, ask and inspect on the model that ships: a text is read once, and asked about later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "cli/program.h"

namespace kvpress {
namespace {

using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Json = nlohmann::json;

std::string story() {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "The keeper of the light went up the stairs on day " + std::to_string(i) +
            ", and the parrot that lived with him said nothing of the weather. ";
  }
  return text;
}

/// The JSON that `ask` prints.
Json asked(const std::string& arguments) {
  const Ended ended = run_program("ask -m demo --json --quiet -n 12 " + arguments);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  return ended.code == 0 ? Json::parse(ended.out) : Json();
}

std::vector<std::string> answers_of(const Json& json) {
  std::vector<std::string> answers;
  for (const Json& it : json["answers"]) answers.push_back(it["answer"]);
  return answers;
}

class Contexts : public testing::Test {
 protected:
  Contexts() : text_(folder_.file("story.txt", story()).string()), book_((folder_.path() / "book.kv").string()) {}

  Ended compress(const std::string& arguments) const {
    return run_program("compress -m demo " + text_ + " -o " + book_ + " " + arguments);
  }

  TemporaryFolder folder_;
  std::string text_, book_;
};

TEST_F(Contexts, AnswerAsTheTextItself) {
  for (const char* press : {"--press snapkv --compression-ratio 0.6", "--press kvzip --target-size 150",
                            "--press adakv(snapkv) --budget 1MiB --positions cache --cache-dtype int8 "
                            "--cache-residual 32",
                            "--press knorm --compression-ratio 0.3 --target-size 200 --compression-interval 4"}) {
    const std::string quoted = "--press '" + std::string(press).substr(8, std::string(press).find(' ', 8) - 8) + "'" +
                               std::string(press).substr(std::string(press).find(' ', 8));
    const Ended ended = compress(quoted);
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.out, AllOf(HasSubstr("demo"), HasSubstr("story.txt"), HasSubstr("entries per head")));
    EXPECT_THAT(ended.err, HasSubstr("written in"));
    const std::string questions = " 'Who kept the light?' 'And the parrot?'";
    const Json of_file = asked(book_ + questions);
    const Json of_text = asked(text_ + " " + quoted + questions);
    EXPECT_EQ(answers_of(of_file), answers_of(of_text)) << press;
    EXPECT_EQ(of_file["context_tokens"], of_text["context_tokens"]);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(of_file["answers"][i]["cache_tokens"], of_text["answers"][i]["cache_tokens"]) << press;
    }
    EXPECT_EQ(answers_of(asked(book_ + " 'And the parrot?'"))[0], answers_of(of_file)[1])
        << "the first question is not seen by the second";
  }
}

TEST_F(Contexts, QuestionsAreKeptWhereThatIsWanted) {
  ASSERT_EQ(compress("--press snapkv").code, 0);
  const std::string questions = " 'Who kept the light?' 'And the parrot?'";
  const Json alone = asked(book_ + questions);
  const Json kept = asked(book_ + " --keep" + questions);
  EXPECT_EQ(answers_of(alone)[0], answers_of(kept)[0]);
  EXPECT_GT(kept["answers"][1]["cache_tokens"].get<double>(), alone["answers"][1]["cache_tokens"].get<double>() + 15);
}

TEST_F(Contexts, QuestionsComeFromAFileAndAnswersGoToOne) {
  ASSERT_EQ(compress("--press snapkv").code, 0);
  const std::string questions =
      folder_.file("q.jsonl", "{\"question\": \"Who kept the light?\", \"id\": 3}\n\n\"And the parrot?\"\n").string();
  const std::string answers = (folder_.path() / "answers.jsonl").string();
  const Ended ended = run_program("ask -m demo -n 5 " + book_ + " --questions " + questions + " -o " + answers);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("> Who kept the light?\n"), HasSubstr("> And the parrot?\n"),
                               HasSubstr("question  tokens  question s")));
  std::istringstream lines(content_of(answers));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(Json::parse(line));
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[1]["question"], "And the parrot?");
  EXPECT_EQ(rows[1]["tokens"], 5);
  for (const char* key :
       {"answer", "ended", "question_sec", "answer_sec", "tokens_per_sec", "cache_tokens", "cache_bytes"}) {
    EXPECT_TRUE(rows[0].contains(key)) << key;
  }
  EXPECT_EQ(answers_of(asked(book_ + " --questions " + questions)).size(), 2);
}

TEST_F(Contexts, InspectSaysWhatTheyAreOf) {
  ASSERT_EQ(compress("--press 'adakv(snapkv)' --compression-ratio 0.7 --no-text").code, 0);
  const Ended ended = run_program("inspect " + book_);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("model                demo, "), HasSubstr("adakv(snapkv), compression ratio 0.7"),
                    HasSubstr("not stored"), HasSubstr("tokens' SHA-256"), HasSubstr("fingerprints")));
  // The name does not matter where the content is right.
  const std::string other = (folder_.path() / "other.name").string();
  std::filesystem::copy_file(book_, other);
  EXPECT_EQ(run_program("inspect " + other).code, 0);
  EXPECT_EQ(asked(other + " 'Who?'")["answers"].size(), 1);
}

TEST_F(Contexts, WhatIsWrongIsSaidInOneLine) {
  ASSERT_EQ(compress("--press snapkv").code, 0);
  const auto complaint = [](const std::string& arguments, int code) {
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, code) << arguments << "\n" << ended.err;
    const std::size_t last = ended.err.rfind("kvpress: ");
    EXPECT_NE(last, std::string::npos);
    return last == std::string::npos ? "" : ended.err.substr(last);
  };
  std::string bytes = content_of(book_);
  bytes[bytes.size() / 2] ^= 1;
  const std::string damaged = folder_.file("damaged.kv", bytes).string();
  const std::string shorter = folder_.file("short.kv", bytes.substr(0, 9000)).string();
  for (const char* command : {"inspect ", "ask -m demo "}) {
    const std::string question = std::string(command) == "inspect " ? "" : " 'Who?'";
    EXPECT_THAT(complaint(command + damaged + question, 1), HasSubstr("damaged.kv: is damaged: its checksum"));
    EXPECT_THAT(complaint(command + shorter + question, 1), HasSubstr("short.kv: "));
  }
  EXPECT_THAT(complaint("ask -m demo " + folder_.file("empty.kv", "").string() + " 'Who?'", 1), HasSubstr("too few"));
  const std::string in_float32 = (folder_.path() / "float32.kv").string();
  ASSERT_EQ(run_program("compress -m demo --dtype float32 " + text_ + " --press knorm -o " + in_float32).code, 0);
  EXPECT_THAT(complaint("ask -m demo " + in_float32 + " --dtype bfloat16 'Who?'", 2),
              HasSubstr("was made with float32"));
  EXPECT_THAT(complaint("ask -m demo " + book_ + " --cache-dtype int4 'Who?'", 2), HasSubstr("--cache-dtype: "));
  EXPECT_THAT(complaint("ask -m demo " + book_, 2), HasSubstr("a question is needed"));
  EXPECT_THAT(complaint("ask -m demo " + book_ + " ' '", 2), HasSubstr("a question is empty"));
  EXPECT_THAT(complaint("ask -m demo " + book_ + " 'Who?' --questions x.jsonl", 2), HasSubstr("not both"));
  EXPECT_THAT(complaint("ask -m demo " + book_ + " --questions " + folder_.file("q.jsonl", "{\"q\": 1}\n").string(), 1),
              HasSubstr("q.jsonl:1: "));
  EXPECT_THAT(complaint("ask -m demo " + book_ + " -o /proc/x/a.jsonl 'Who?'", 1), HasSubstr("/proc/x/a.jsonl"));
  EXPECT_THAT(complaint("compress -m demo " + folder_.file("empty.txt", "").string() + " -o " + book_, 2),
              HasSubstr("empty.txt: is empty"));
  EXPECT_THAT(complaint("compress -m demo " + text_ + " -o /proc/x/book.kv", 1), HasSubstr("/proc/x/book.kv"));
  EXPECT_THAT(complaint("compress -m demo " + text_ + " -o " + book_ +
                            " --press kvzip --no-text --target-size 100 --compression-interval 8",
                        2),
              HasSubstr("reads the text again"));
  EXPECT_THAT(complaint("compress -m demo " + text_ + " -o " + book_ + " --compression-ratio 2", 2),
              HasSubstr("--compression-ratio: 2"));
  EXPECT_EQ(asked(book_ + " 'Who?'")["answers"].size(), 1) << "what was there is there still";
}

TEST_F(Contexts, OptionsThatChangeNothingAreTold) {
  ASSERT_EQ(compress("--press snapkv").code, 0);
  const Ended ended = run_program("ask -m demo -n 2 " + book_ + " 'Who?' --press knorm --compression-ratio 0.9");
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("--press has no effect: "), HasSubstr("--compression-ratio has no effect: ")));
}

}  // namespace
}  // namespace kvpress
