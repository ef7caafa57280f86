// Runs are ranked by what they really evicted, compared pair by pair, and tied where intervals say so.
#include "report/documents/ranking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvpress/report/documents/outcome_table.h"
#include "report/documents/comparison_table.h"
#include "report/documents/paired_table.h"

namespace kvpress {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Groups = std::vector<std::vector<std::size_t>>;

/// KL and delta NLL of three blocks.
RunSummary run_of(const std::string& press, double ratio, double evicted, std::vector<double> kl) {
  RunSummary run;
  run.press = press;
  run.compression_ratio = ratio;
  run.evicted_share = evicted;
  run.perplexity = 20;
  Quality quality;
  for (const double it : kl) quality.kl_full += it / static_cast<double>(kl.size());
  quality.delta_nll = quality.kl_full / 2;
  quality.top1_agreement = 0.9;
  quality.units.kl = kl;
  for (const double it : kl) quality.units.delta_nll.push_back(it / 2);
  run.quality = quality;
  return run;
}

TEST(NearShares, AreWithinTwoHundredths) {
  EXPECT_EQ(near_shares(std::vector<double>{}), Groups{});
  EXPECT_EQ(near_shares(std::vector<double>{0, 0.004}), Groups{});
  EXPECT_EQ(near_shares(std::vector<double>{0.5, 0.25, 0.51, 0.0, 0.5}), (Groups{{1}, {0, 4, 2}}));
  // The most that fit together stay together: 0.48 is left alone, not 0.51.
  EXPECT_EQ(near_shares(std::vector<double>{0.48, 0.5, 0.505, 0.51}), (Groups{{0}, {1, 2, 3}}));
  EXPECT_EQ(near_shares(std::vector<double>{0.1, 0.12, 0.14}), (Groups{{0, 1}, {2}}));
}

TEST(Ranked, AWinnerNeedsARival) {
  EXPECT_THAT(outcome_sentence({}), "");
  const std::vector<RunSummary> runs = {run_of("knorm", 0.5, 0.5, {0.1, 0.2, 0.3})};
  EXPECT_THAT(outcome_sentence(runs),
              AllOf(HasSubstr("With 50 % of the cache evicted there is only knorm (KL"), Not(HasSubstr("nearest"))));
}

TEST(Ranked, OneShareAtATime) {
  const std::vector<RunSummary> runs = {
      run_of("knorm", 0.5, 0.5, {0.10, 0.11, 0.12}), run_of("knorm", 0.75, 0.75, {0.50, 0.51, 0.52}),
      run_of("snapkv", 0.5, 0.5, {0.05, 0.06, 0.07}), run_of("snapkv", 0.75, 0.75, {0.20, 0.21, 0.22})};
  const std::string sentences = outcome_sentence(runs);
  EXPECT_THAT(sentences, HasSubstr("With 50 % of the cache evicted, snapkv (KL 0.0600 nats"));
  EXPECT_THAT(sentences, HasSubstr("is nearest to the full cache; knorm (KL 0.1100 nats"));
  EXPECT_THAT(sentences, HasSubstr("\nWith 75 % of the cache evicted, snapkv (KL 0.2100 nats"));
  EXPECT_THAT(sentences, HasSubstr("is nearest to the full cache; knorm (KL 0.5100 nats"));
}

TEST(Ranked, WhoKeptEverythingWinsNothing) {
  const std::vector<RunSummary> runs = {
      run_of("simlayerkv", 0.5, 0, {0, 0, 0}), run_of("knorm", 0.5, 0.5, {0.10, 0.11, 0.12}),
      run_of("snapkv", 0.5, 0.5, {0.05, 0.06, 0.07}), run_of("think", 0.5, 0.25, {0.01, 0.01, 0.01})};
  const std::string sentences = outcome_sentence(runs);
  EXPECT_THAT(sentences, HasSubstr("With 25 % of the cache evicted there is only think (KL"));
  EXPECT_THAT(sentences, HasSubstr("With 50 % of the cache evicted, snapkv ("));
  EXPECT_THAT(sentences, HasSubstr("simlayerkv evicted nothing, whatever was asked for, and is not ranked."));
  EXPECT_THAT(outcome_table(runs), HasSubstr("ratio  evicted  perplexity"));
  const std::vector<RunSummary> as_asked = {runs[1], runs[2]};
  EXPECT_THAT(outcome_table(as_asked), Not(HasSubstr("evicted  perplexity")));
}

TEST(Ranked, TiesAreSaid) {
  const std::vector<RunSummary> runs = {run_of("knorm", 0.5, 0.5, {0.10, 0.30, 0.20}),
                                        run_of("snapkv", 0.5, 0.5, {0.20, 0.10, 0.25}),
                                        run_of("tova", 0.5, 0.5, {0.80, 0.85, 0.90})};
  EXPECT_THAT(outcome_sentence(runs),
              AllOf(HasSubstr("snapkv (KL 0.1833"), HasSubstr("nearest to the full cache, tied with knorm; tova (")));
  EXPECT_THAT(outcome_sentence(std::span(runs).first(2)), HasSubstr("and knorm are tied."));
  // Of one block nothing can be said.
  const std::vector<RunSummary> short_text = {run_of("knorm", 0.5, 0.5, {0.1}), run_of("snapkv", 0.5, 0.5, {0.2})};
  EXPECT_THAT(outcome_sentence(short_text), HasSubstr("too short to say whether they differ"));
  EXPECT_THAT(paired_text(ranked(short_text)), HasSubstr("there is no interval"));
}

TEST(Paired, IntervalsAreStudentsOfTheDifferences) {
  const std::vector<RunSummary> runs = {run_of("knorm", 0.5, 0.5, {0.2, 0.4, 0.6}),
                                        run_of("snapkv", 0.5, 0.5, {0.1, 0.2, 0.3})};
  const auto groups = ranked(runs);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].reference->press, "snapkv");
  const auto difference = groups[0].difference(runs[0]);
  // 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1, t(2) = 4.3027: 0.2 +- 0.2484.
  EXPECT_NEAR(difference->kl.mean, 0.2, 1e-12);
  EXPECT_NEAR(difference->kl.ci95[0], -0.0484, 1e-4);
  EXPECT_NEAR(difference->kl.ci95[1], 0.4484, 1e-4);
  EXPECT_TRUE(PairedDifference::tied(difference->kl));
  EXPECT_NEAR(difference->delta_nll.mean, 0.1, 1e-12);
  EXPECT_FALSE(groups[0].difference(runs[1]));
  EXPECT_THAT(paired_text(groups),
              AllOf(HasSubstr("paired over 3 blocks of 64 tokens"), HasSubstr("+0.2000 [-0.0484, +0.4484], tied")));
  const Json json = paired_json(groups, runs[0]);
  EXPECT_EQ(json["against"], "snapkv");
  EXPECT_EQ(json["kl_tied"], true);
  EXPECT_TRUE(paired_json(groups, runs[1]).is_null());
}

TEST(Paired, WithThePressThatIsNamed) {
  ComparisonTable table;
  table.runs = {run_of("knorm", 0.5, 0.5, {0.2, 0.3, 0.4}), run_of("snapkv", 0.5, 0.5, {0.1, 0.2, 0.3}),
                run_of("tova", 0.5, 0.5, {0.4, 0.4, 0.4}), run_of("think", 0.5, 0.25, {0.01, 0.01, 0.01})};
  table.full.cache_bytes = 1;
  table.against = "knorm";
  table.sort();
  std::vector<std::string> order;
  for (const RunSummary& it : table.runs) order.push_back(it.press);
  EXPECT_THAT(order, ElementsAre("think", "snapkv", "knorm", "tova"));
  const std::string text = as_text(table);
  EXPECT_THAT(text, HasSubstr("press   evicted  against"));
  EXPECT_THAT(text, HasSubstr("snapkv     0.50    knorm "));
  EXPECT_THAT(text, HasSubstr(" -0.1000 [-0.1000, -0.1000]"));
  const Json json = Json::parse(as_json(table));
  EXPECT_TRUE(json["runs"][0]["paired"].is_null());
  EXPECT_EQ(json["runs"][1]["paired"]["against"], "knorm");
  EXPECT_EQ(json["runs"][0]["evicted_share"], 0.25);
  EXPECT_THAT(as_csv(table), HasSubstr("evicted_share,kl_full_low,kl_full_high,against,against_kl"));
  EXPECT_THAT(as_markdown(table), HasSubstr("| press | evicted | against | KL | delta NLL |"));
}

}  // namespace
}  // namespace kvpress
