// Tasks: what the generators make, what answers are worth, and which cells of a table say something.
#include "tasks/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kvpress/base/error.h"
#include "tasks/answer_text.h"
#include "tasks/task_score.h"
#include "tasks/task_words.h"

namespace kvpress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Words count as tokens here: no model is needed.
std::int64_t count_words(std::string_view text) { return static_cast<std::int64_t>(split_words(text).size()); }

std::string story(int n_sentences) {
  std::string text;
  for (int i = 0; i < n_sentences; ++i) text += "Sentence number " + std::to_string(i) + " says\nnothing new.  ";
  return text;
}

TaskGrid small_grid() {
  TaskGrid grid;
  grid.lengths = {100, 200};
  grid.depths = {0, 0.5, 1};
  grid.hops = {1, 3};
  grid.samples = 2;
  return grid;
}

TEST(Tasks, TheSameSeedGivesTheSameBytes) {
  TaskRandom random(7, 3);
  // Of std::mt19937_64, whose numbers the standard fixes.
  std::mt19937_64 engine(7 * 0x9e3779b97f4a7c15ULL + 3);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(random.below(1000), engine() % 1000);
  const TaskGrid grid = small_grid();
  TaskGrid other = grid;
  other.seed = 1;
  const std::string text = story(100);
  const auto all = [&](const TaskGrid& it) {
    std::string bytes;
    for (const TaskSet& set : {make_needle_task(it, text, count_words), make_kv_recall_task(it, count_words),
                               make_variable_tracking_task(it, text, count_words)}) {
      for (const TaskSample& sample : set.samples) bytes += sample.context + sample.question + sample.answers[0] + "\n";
    }
    return bytes;
  };
  EXPECT_EQ(all(grid), all(grid));
  EXPECT_NE(all(grid), all(other));
}

TEST(Tasks, NeedlesStandWhereTheDepthSays) {
  TaskGrid grid = small_grid();
  grid.needles = 3;
  const TaskSet set = make_needle_task(grid, story(100), count_words);
  ASSERT_EQ(set.samples.size(), 12);
  for (const TaskSample& it : set.samples) {
    const std::int64_t length = std::stoll(it.column);
    EXPECT_LE(count_words(it.context), length);
    EXPECT_GT(count_words(it.context), length - 2);
    const auto at = it.context.find("is " + it.answers[0] + ".");
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(it.context.find(it.answers[0], at + 5), std::string::npos);
    const double depth = static_cast<double>(count_words(it.context.substr(0, at))) / static_cast<double>(length);
    EXPECT_NEAR(depth, std::stod(it.row), 0.35) << it.row;  // the instructions are a fourth of 100 words
    EXPECT_DOUBLE_EQ(it.chance, 1.0 / 3);
    std::size_t n_needles = 0;
    for (auto needle = it.context.find("The secret number"); needle != std::string::npos;
         needle = it.context.find("The secret number", needle + 1)) {
      ++n_needles;
    }
    EXPECT_EQ(n_needles, 3);
  }
  // Needles stand between sentences, never inside one.
  EXPECT_THAT(set.samples[1].context, HasSubstr("nothing new. The secret number of the "));
}

TEST(Tasks, PairsFillTheLengthAndShareTheirContext) {
  const TaskSet set = make_kv_recall_task(small_grid(), count_words);
  ASSERT_EQ(set.samples.size(), 12);
  for (std::size_t i = 0; i < 12; i += 3) {
    const TaskSample& first = set.samples[i];
    EXPECT_EQ(first.context, set.samples[i + 1].context);
    EXPECT_EQ(first.context, set.samples[i + 2].context);
    EXPECT_LE(count_words(first.context), std::stoll(first.column));
    const auto pairs = split_at(first.context, '\n');
    EXPECT_THAT(pairs[2], HasSubstr(first.answers[0]));                              // depth 0 is the first pair
    EXPECT_THAT(pairs[pairs.size() - 3], HasSubstr(set.samples[i + 2].answers[0]));  // depth 1 the last
    EXPECT_DOUBLE_EQ(first.chance, 1.0 / static_cast<double>(pairs.size() - 4));
  }
}

TEST(Tasks, VariablesAreSetAfterWhatTheyAreSetTo) {
  TaskGrid grid = small_grid();
  grid.lengths = {150};
  const TaskSet set = make_variable_tracking_task(grid, story(100), count_words);
  ASSERT_EQ(set.samples.size(), 4);
  for (const TaskSample& it : set.samples) {
    ASSERT_EQ(it.answers.size(), std::stoull(it.row) + 1);
    std::size_t before = 0;
    for (const std::string& name : it.answers) {
      const auto at = it.context.find("VAR " + name + " = ");
      ASSERT_NE(at, std::string::npos) << name;
      EXPECT_GT(at, before);
      before = at;
    }
    EXPECT_DOUBLE_EQ(it.chance, 0.5);
  }
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Tasks, WrongGridsAreRefused) {
  const auto told = [](void (*change)(TaskGrid&)) {
    TaskGrid grid = small_grid();
    change(grid);
    return error_of([&] { check_grid(grid); });
  };
  EXPECT_THAT(told([](TaskGrid& it) { it.lengths.clear(); }), HasSubstr("lengths: is empty"));
  EXPECT_THAT(told([](TaskGrid& it) { it.depths.clear(); }), HasSubstr("depths: is empty"));
  EXPECT_THAT(told([](TaskGrid& it) { it.depths = {1.5}; }), HasSubstr("must be in [0, 1]"));
  EXPECT_THAT(told([](TaskGrid& it) { it.depths = {0.501, 0.502}; }), HasSubstr("depths: a value is given twice"));
  EXPECT_THAT(told([](TaskGrid& it) { it.lengths = {0}; }), HasSubstr("lengths: 0 is too small"));
  EXPECT_THAT(told([](TaskGrid& it) { it.hops = {0}; }), HasSubstr("hops: 0 is too small"));
  EXPECT_THAT(told([](TaskGrid& it) { it.samples = 0; }), HasSubstr("samples"));
  EXPECT_THAT(told([](TaskGrid& it) { it.needles = 0; }), HasSubstr("needles"));
  EXPECT_THAT(told([](TaskGrid& it) { it.chains = 0; }), HasSubstr("chains"));
  EXPECT_EQ(told([](TaskGrid&) {}), "nothing was thrown");
  TaskGrid many = small_grid();
  many.needles = 40;
  EXPECT_THAT(error_of([&] { make_needle_task(many, story(100), count_words); }), HasSubstr("needles: needs "));
  many.lengths = {20};
  EXPECT_THAT(error_of([&] { make_kv_recall_task(many, count_words); }), HasSubstr("lengths: two pairs need"));
  EXPECT_THAT(error_of([&] { make_needle_task(small_grid(), " \n", count_words); }), HasSubstr("text"));
}

TEST(Tasks, AnAnswerStandsByItself) {
  TaskSample sample;
  sample.answers = {"48213"};
  EXPECT_EQ(score_whole_answers(sample, " 48213."), 1);
  EXPECT_EQ(score_whole_answers(sample, "it is **48213**"), 1);
  EXPECT_EQ(score_whole_answers(sample, "148213 482139"), 0);
  EXPECT_EQ(score_whole_answers(sample, "148213, 48213"), 1);
  EXPECT_EQ(score_whole_answers(sample, "4821"), 0);
  sample.answers = {"ABCDE", "FGHIJ"};
  EXPECT_EQ(score_whole_answers(sample, "FGHIJ, ABCDX"), 0.5);
}

TEST(Tasks, CellsNearTheFloorSayNothing) {
  // Wilson's interval: numbers from R's prop.test(3, 4, correct = FALSE) and prop.test(10, 20, correct = FALSE).
  EXPECT_NEAR(wilson_interval(0.75, 4, 1.959964)[0], 0.3006418, 1e-6);
  EXPECT_NEAR(wilson_interval(0.75, 4, 1.959964)[1], 0.9544127, 1e-6);
  EXPECT_NEAR(wilson_interval(0.5, 20, 1.959964)[0], 0.2992980, 1e-6);
  std::vector<TaskSample> samples(12);
  for (std::size_t i = 0; i < 12; ++i) {
    samples[i].row = "0.00";
    samples[i].column = std::to_string(i / 4);
  }
  // Full cache: 4 of 4, 2 of 4, 3 of 4.
  const std::vector<double> full = {1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0};
  const std::vector<double> scores = {1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  std::vector<TaskCell> cells = task_cells(samples, scores, full, 0.25);
  ASSERT_EQ(cells.size(), 3);
  EXPECT_FALSE(cells[0].says_nothing);
  EXPECT_TRUE(cells[1].says_nothing);  // half of four may well be a fourth
  EXPECT_FALSE(cells[2].says_nothing);
  const TaskSummary sum = summarize(cells);
  EXPECT_EQ(sum.n, 12);
  EXPECT_DOUBLE_EQ(sum.score, 9.0 / 12);
  EXPECT_EQ(sum.n_telling, 8);
  EXPECT_DOUBLE_EQ(sum.telling_score, 5.0 / 8);
  EXPECT_DOUBLE_EQ(sum.telling_full, 7.0 / 8);
  // Where picking blindly scores as much, right answers say nothing either.
  for (TaskSample& it : samples) it.chance = 0.5;
  cells = task_cells(samples, scores, full, 0.25);
  EXPECT_FALSE(cells[0].says_nothing);
  EXPECT_TRUE(cells[2].says_nothing);
}

}  // namespace
}  // namespace kvpress
