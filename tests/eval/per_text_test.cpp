#include "kvpress/eval/per_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvpress {
namespace {

// As every table of Student's distribution has them (0.975).
TEST(PerText, StudentsTable) {
  for (const auto& [degrees, t] : {std::pair{1, 12.706},
                                   {2, 4.303},
                                   {3, 3.182},
                                   {4, 2.776},
                                   {5, 2.571},
                                   {9, 2.262},
                                   {10, 2.228},
                                   {29, 2.045},
                                   {30, 2.042},
                                   {99, 1.984},
                                   {1000, 1.962}}) {
    EXPECT_NEAR(student_t95(degrees), t, 6e-4) << degrees;
  }
}

// numpy: mean, std(ddof=1); scipy.stats.t.interval(0.95, 4, mean, sem).
TEST(PerText, MeanIntervalAndSpread) {
  const OverTexts result = over_texts(std::vector<double>{2.5, 3.1, 2.9, 3.6, 2.4});
  EXPECT_NEAR(result.mean, 2.9, 1e-12);
  EXPECT_NEAR(result.sd, 0.484768, 1e-6);
  EXPECT_NEAR(result.ci95[0], 2.298078, 1e-5);
  EXPECT_NEAR(result.ci95[1], 3.501922, 1e-5);
  const OverTexts single = over_texts(std::vector<double>{2.5});
  EXPECT_EQ(single.mean, 2.5);
  EXPECT_EQ(single.sd, 0);
  EXPECT_THAT(single.ci95, testing::ElementsAre(2.5, 2.5));
}

TEST(PerText, SegmentsOfATextBelongTogether) {
  RunResult run;
  run.segments = {{.text = 0, .first_scored = 0, .n_scored = 5},
                  {.text = 0, .first_scored = 5, .n_scored = 2},
                  {.text = 1, .first_scored = 7, .n_scored = 0},
                  {.text = 2, .first_scored = 7, .n_scored = 3}};
  const auto texts = scored_texts(run);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].count, 7u);
  EXPECT_EQ(texts[1].text, 2);
  EXPECT_EQ(texts[1].first, 7u);
  EXPECT_EQ(texts[1].count, 3u);
}

}  // namespace
}  // namespace kvpress
