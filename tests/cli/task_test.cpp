// kvpress task, as a person runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "cli/program.h"
#include "fake_rows.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Task, WritesTableAndPictureAndFolders) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  const std::string command =
      "task needle -m demo --lengths 128,192 --depths 0:1:0.5 --samples 2 --needles 2 --presses no_press,knorm "
      "--ratios 0.5,0.75 --quiet -o " +
      out;
  const Ended ended = run_program(command);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out, HasSubstr("depth \\ length"));
  // A model this small finds no needle, which is said.
  EXPECT_THAT(ended.out, HasSubstr("not informative, because"));
  const Json json = Json::parse(content_of(fs::path(out) / "needle.json"));
  EXPECT_EQ(json["task"], "needle");
  EXPECT_EQ(json["needles"], 2);
  EXPECT_EQ(json["chat_format"], "plain");
  ASSERT_EQ(json["runs"].size(), 2);
  EXPECT_EQ(json["runs"][1]["press"], "knorm");
  EXPECT_EQ(json["runs"][1]["compression_ratio"], 0.75);
  EXPECT_NEAR(json["runs"][1]["cache_tokens"].get<double>(), 0.25 * json["baseline"]["cache_tokens"].get<double>(), 1);
  ASSERT_EQ(json["runs"][1]["cells"].size(), 6);
  EXPECT_EQ(json["runs"][1]["cells"][0]["n"], 2);
  EXPECT_EQ(json["baseline"]["cells"][0]["says_nothing"], true);
  EXPECT_EQ(json["baseline"]["cells"][0]["chance"], 0.5);
  const std::string csv = content_of(fs::path(out) / "needle.csv");
  EXPECT_THAT(
      csv, StartsWith("press,compression_ratio,depth,length,n,score,full_score,chance,says_nothing,evicted_share\n"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 3 * 6);
  EXPECT_THAT(content_of(fs::path(out) / "needle.png"), HasSubstr("PNG"));
  const fs::path run = fs::path(out) / "needle__demo__knorm__0.75";
  const std::string predictions = content_of(run / "predictions.csv");
  EXPECT_THAT(predictions,
              StartsWith("task,context_length,depth,length,question,answer_prefix,answer,predicted_answer,"));
  EXPECT_THAT(predictions, HasSubstr("needle,127,0.00,128,What is the secret number of the "));
  EXPECT_TRUE(Json::parse(content_of(run / "metrics.json"))["needle"].contains("string_match"));
  EXPECT_THAT(content_of(run / "config.yaml"), HasSubstr("press_name: \"knorm\"\ncompression_ratio: 0.75\n"));
  // Again: the same answers, in a folder of their own.
  ASSERT_EQ(run_program(command).code, 0);
  EXPECT_EQ(content_of(run / "1" / "predictions.csv"), predictions);
}

TEST(Task, TakesRowsOfADataSet) {
  const TemporaryFolder folder;
  const fs::path rows = folder.path() / "rows.jsonl";
  std::ofstream(rows)
      << R"({"context": "One fish, two fish.", "question": "Which fish?", "answer": ["red"], "task": "qa_1"})"
      << "\n"
      << R"({"context": "One fish, two fish.", "question": "Which?", "answer": ["a", "e"], "task": "vt"})"
      << "\n";
  const std::string out = (folder.path() / "out").string();
  const Ended ended = run_program(
      "task " + rows.string() + " --scorer ruler -m demo --presses streaming_llm --max-new-tokens 4 --quiet -o " + out);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json metrics = Json::parse(content_of(fs::path(out) / "ruler__demo__streaming_llm__0.50" / "metrics.json"));
  EXPECT_TRUE(metrics["qa_1"].contains("string_match"));
  EXPECT_TRUE(metrics["vt"].contains("string_match"));
  EXPECT_FALSE(fs::exists(fs::path(out) / "ruler.png"));
}

TEST(Task, TakesRowsFromTheHub) {
  test::FakeRows service;
  service.objects = {
      R"({"context": "One fish, two fish.", "question": "Which fish?", "answer": ["red"], "task": "qa_1", "length": 3})",
      R"({"context": "One fish, two fish.", "question": "Which?", "answer": ["a", "e"], "task": "vt", "length": 3})",
      R"({"context": "Not asked for.", "question": "Which?", "answer": ["a"], "task": "vt", "length": 3})"};
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  const std::string options = " -m demo --presses streaming_llm --max-new-tokens 4 --quiet -o " + out;
  const Ended ended = run_program("task hf:Some/rows --config extra --max-samples 2" + options);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json json = Json::parse(content_of(fs::path(out) / "ruler.json"));
  EXPECT_EQ(json["n_questions"], 2);
  EXPECT_EQ(json["rows"], "hf:Some/rows");
  EXPECT_EQ(json["config"], "extra");
  const Json metrics = Json::parse(content_of(fs::path(out) / "ruler__demo__streaming_llm__0.50" / "metrics.json"));
  EXPECT_TRUE(metrics["qa_1"].contains("string_match"));
  EXPECT_TRUE(metrics["vt"].contains("string_match"));
  // By the name that kvpress's evaluation has for it: the service is asked for that id, which it does not know.
  const Ended named = run_program("task loogle" + options);
  EXPECT_EQ(named.code, 1);
  EXPECT_THAT(named.err, HasSubstr("hf:simonjegou/loogle"));
  EXPECT_THAT(service.server().requests().back().query, HasSubstr("dataset=simonjegou/loogle"));
  // Rows without what a question needs.
  service.objects = {R"({"text": "a"})"};
  const Ended wrong = run_program("task hf:Some/other" + options);
  EXPECT_EQ(wrong.code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("hf:Some/other/default/test: row 1 has no column"));
}

TEST(Task, CompressesWhileAnsweringAndWithTheQuestion) {
  const std::string base = "task needle -m demo --lengths 96 --depths 0 --samples 1 --quiet ";
  const Ended decoding =
      run_program(base + "--presses 'decoding(knorm)' --compression-interval 4 --target-size 32 --max-new-tokens 10");
  EXPECT_EQ(decoding.code, 0) << decoding.err;
  const Ended aware = run_program(base + "--presses finch --query-aware --target-size 40");
  EXPECT_EQ(aware.code, 0) << aware.err;
  EXPECT_THAT(aware.out, HasSubstr("finch"));
}

TEST(Task, WrongRequestsAreRefusedInALine) {
  const auto told = [](const std::string& arguments, int code = 2) {
    const Ended ended = run_program("task " + arguments);
    EXPECT_EQ(ended.code, code) << ended.err;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    return ended.err;
  };
  EXPECT_THAT(told("poem -m demo"), HasSubstr("known: needle, kv_recall, variable_tracking"));
  EXPECT_THAT(told("poem -m demo"), HasSubstr("ruler, "));
  EXPECT_THAT(told("rows.jsonl -m demo --split test"), HasSubstr("--split: applies only to a data set of the hub"));
  EXPECT_THAT(told("needle -m demo --config 4096"), HasSubstr("--config: applies only to a data set of the hub"));
  EXPECT_THAT(told("needle -m demo --depths 0,1.5"), HasSubstr("--depths: 1.5"));
  EXPECT_THAT(told("needle -m demo --depths 0:1"), HasSubstr("first:last:step"));
  EXPECT_THAT(told("needle -m demo --depths ''"), HasSubstr("--depths: is empty"));
  EXPECT_THAT(told("needle -m demo --depths half"), HasSubstr("'half' is not a list of numbers"));
  EXPECT_THAT(told("needle -m demo --lengths 100000000"), HasSubstr("--lengths"));
  EXPECT_THAT(told("needle -m demo --lengths 64 --needles 20"), HasSubstr("--needles: needs"));
  EXPECT_THAT(told("needle -m demo --scorer ruler"), HasSubstr("--scorer"));
  EXPECT_THAT(told("needle -m demo --ratios 1"), HasSubstr("--ratios"));
  EXPECT_THAT(told("needle -m demo --chat-format alpaca"), HasSubstr("known: auto, plain, chatml, llama3"));
  EXPECT_THAT(told("nowhere.jsonl -m demo", 1), HasSubstr("nowhere.jsonl"));
  EXPECT_THAT(told("rows.jsonl -m demo --scorer squad"), HasSubstr("scorer 'squad' is not known; known: "));
}

}  // namespace
}  // namespace kvpress
