// Scores of kvpress's data sets against its own calculate_metrics (tools/references/task_scores.py).
#include "report/documents/task_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "tasks/dataset_scores.h"
#include "tasks/task_rows.h"
#include "tasks/task_score.h"
#include "test_data.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

/// Numbers within `tolerance`, all else the same. `where` grows with the path to the value.
void expect_same(const Json& actual, const Json& expected, const std::string& where) {
  if (expected.is_number()) {
    ASSERT_TRUE(actual.is_number()) << where;
    EXPECT_NEAR(actual.get<double>(), expected.get<double>(), 1e-9) << where;
  } else if (expected.is_object()) {
    ASSERT_TRUE(actual.is_object()) << where;
    EXPECT_EQ(actual.size(), expected.size()) << where << actual.dump();
    for (const auto& [key, value] : expected.items()) {
      ASSERT_TRUE(actual.contains(key)) << where << "/" << key;
      expect_same(actual[key], value, where + "/" + key);
    }
  } else if (expected.is_array()) {
    ASSERT_EQ(actual.size(), expected.size()) << where;
    for (std::size_t i = 0; i < expected.size(); ++i)
      expect_same(actual[i], expected[i], where + "/" + std::to_string(i));
  } else {
    EXPECT_EQ(actual, expected) << where;
  }
}

TEST(TaskMetrics, AreThoseOfKvpress) {
  const Json reference = Json::parse(read_file(test::data_dir() / "tasks" / "scores.json"));
  const auto texts = reference["predicted"].get<std::vector<std::string>>();
  std::map<std::string, int> n_cases;
  for (const Json& it : reference["cases"]) {
    const auto scorer = it["scorer"].get<std::string>();
    std::vector<std::string> rows;
    std::vector<std::string> predicted;
    for (Json row : it["rows"]) {
      predicted.push_back(texts[row["predicted_answer"].get<std::size_t>()]);
      row["context"] = "x";
      rows.push_back(row.dump());
    }
    const TaskSet set = read_task_rows(rows, scorer, "scores.json");
    std::vector<double> scores;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      scores.push_back(task_scorer(scorer).score(set.samples[i], predicted[i]));
      EXPECT_GE(scores.back(), 0);
      EXPECT_LE(scores.back(), 1);
    }
    expect_same(task_metrics(scorer, set.samples, predicted, scores), it["metrics"],
                scorer + " " + set.samples[0].task + " <" + predicted[0] + ">");
    ++n_cases[scorer];
  }
  EXPECT_EQ(n_cases.size(), 9) << "one of the data sets has no case";
  EXPECT_GT(n_cases["longbench"], 400);
  EXPECT_GT(n_cases["infinitebench"], 300);
}

TEST(TaskMetrics, WhatHasNoFormulaIsRefused) {
  TaskSample sample;
  sample.answers = {"x"};
  sample.task = "dureader";
  try {
    score_longbench(sample, "x");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("needs a Chinese segmenter"));
  }
  sample.task = "longbook_sum_eng";
  EXPECT_THROW(score_infinitebench(sample, "x"), UsageError);
  EXPECT_THROW(task_scorer("squad"), UsageError);
}

TEST(TaskRows, SayWhatIsWrong) {
  const auto told = [](const std::string& row) -> std::string {
    try {
      read_task_rows(std::vector<std::string>{row}, "ruler", "rows.jsonl");
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_EQ(told("{\"context\": "), "rows.jsonl: row 1 is not a JSON object");
  EXPECT_EQ(told("{\"question\": \"q\", \"answer\": \"a\"}"), "rows.jsonl: row 1 has no column \"context\"");
  EXPECT_EQ(told("{\"context\": 3, \"answer\": \"a\"}"), "rows.jsonl: row 1: \"context\" is not a string");
  EXPECT_EQ(told("{\"context\": \"c\"}"), "rows.jsonl: row 1 has no \"answer\"");
  EXPECT_THAT(told("{\"context\": \"c\", \"answer\": \"a\", \"max_new_tokens\": 0}"), HasSubstr("\"max_new_tokens\""));
  EXPECT_EQ(told("{\"context\": \"c\", \"answer\": [\"a\", 3]}"), "nothing");
}

}  // namespace
}  // namespace kvpress
