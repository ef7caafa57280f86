#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "report/documents/breakeven_document.h"
#include "report/pictures/breakeven_picture.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// A pass over n cached tokens takes n microseconds.
AnswerTimes times_of(double cached, double compress_sec) {
  AnswerTimes times;
  times.cache_tokens = cached;
  times.cache_bytes = static_cast<std::size_t>(cached) << 10;
  times.prefill_sec = {1};
  times.compress_sec = {compress_sec};
  std::vector<double> seconds = {0};
  for (int i = 1; i < 64; ++i) seconds.push_back(1e-6 * (cached + i));
  times.token_sec = {seconds};
  return times;
}

PressedAnswer run_of(const std::string& press, double ratio, double compress_sec, double delta, std::int64_t context) {
  PressedAnswer run;
  run.press = press;
  run.compression_ratio = ratio;
  run.times = times_of(static_cast<double>(context) * (1 - ratio), compress_sec);
  run.perplexity = 10;
  run.quality.delta_nll = delta;
  run.quality.delta_nll_ci95 = {delta - 0.01, delta + 0.01};
  return run;
}

BreakEvenContext context_of(std::int64_t n) {
  BreakEvenContext context;
  context.n_context = n;
  context.n_scored = 1024;
  context.full = times_of(static_cast<double>(n), 0);
  context.full_perplexity = 9;
  // A pass saves 2,048 us of 4,096: 36.5 of them make up for it, in answers of 38 tokens.
  context.runs.push_back(run_of("expected_attention", 0.5, 36.5 * 2048e-6, 0.02, n));
  context.runs.push_back(run_of("expected_attention", 0.75, 200 * 3072e-6, 0.2, n));
  context.runs.push_back(run_of("tova", 0.5, 1e6, 0.2, n));
  return context;
}

BreakEvenReport report_of(std::vector<BreakEvenContext> contexts) {
  BreakEvenReport report;
  report.about = {{"model", "demo"}, {"dataset", "pg19/test"}};
  report.contexts = std::move(contexts);
  report.answers = {10, 1000};
  report.tolerance = 0.05;
  return report;
}

TEST(BreakEvenReport, SentencesToQuote) {
  EXPECT_THAT(
      break_even_sentences(report_of({context_of(4096)})),
      ElementsAre("With expected_attention at 0.5, answers of more than 37 tokens to a 4,096-token context "
                  "finish sooner (one repeat: no range), with 50 % of the cache and +0.020 nats per token.",
                  "expected_attention adds less than 0.05 nats per token at 4,096 tokens up to ratio 0.5: "
                  "+0.0200 [+0.0100, +0.0300].",
                  "With tova at 0.5, no answer to a 4,096-token context finishes sooner than with the full "
                  "cache (up to 1,000,000 tokens) (one repeat: no range); it needs 50 % of the cache and +0.200 "
                  "nats per token.",
                  "No measured ratio of tova adds less than 0.05 nats per token at 4,096 tokens, including its "
                  "interval; the nearest is 0.5 with +0.2000 [+0.1900, +0.2100]."));
}

/// Repeats whose press takes as long as so many passes save.
PressedAnswer repeated(const std::vector<double>& passes) {
  PressedAnswer run = run_of("snapkv", 0.5, 0, 0.02, 4096);
  const auto token_sec = run.times.token_sec.front();
  run.times.prefill_sec.assign(passes.size(), 1);
  run.times.token_sec.assign(passes.size(), token_sec);
  run.times.compress_sec.clear();
  for (const double it : passes) run.times.compress_sec.push_back(it * 2048e-6);
  return run;
}

BreakEvenContext repeated_context(const std::vector<double>& passes) {
  BreakEvenContext context = context_of(4096);
  context.runs = {repeated(passes)};
  context.full.prefill_sec.assign(passes.size(), 1);
  context.full.compress_sec.assign(passes.size(), 0);
  context.full.token_sec.assign(passes.size(), std::vector<double>(context.full.token_sec.front()));
  return context;
}

TEST(BreakEvenReport, SentencesCarryTheRangeOfTheRepeats) {
  const auto sentence = [](const std::vector<double>& passes) {
    return break_even_sentences(report_of({repeated_context(passes)})).front();
  };
  EXPECT_EQ(sentence({19.5, 39.5, 13.5}),
            "With snapkv at 0.5, answers to a 4,096-token context finish sooner from a length between 14 and 40 tokens "
            "on (range of 3 repeats), with 50 % of the cache and +0.020 nats per token.");
  EXPECT_THAT(sentence({19.5, 19.5}),
              HasSubstr("answers of more than 20 tokens to a 4,096-token context finish sooner, "));
  EXPECT_THAT(sentence({19.5, 500}),
              HasSubstr("between 20 and 501 tokens on (range of 2 repeats) (extrapolated from 64"));
  EXPECT_THAT(sentence({19.5, 19.5, 1e9}),
              HasSubstr("3 repeats do not agree whether answers to a 4,096-token context finish sooner (from 20 tokens "
                        "on in one of them, never in another)"));
  EXPECT_THAT(sentence({1e9, 1e9}), HasSubstr("no answer to a 4,096-token context finishes sooner than with the full "
                                              "cache (up to 1,000,000 tokens); "));
}

TEST(BreakEvenReport, GoesByWhatWasEvicted) {
  BreakEvenReport report = report_of({context_of(4096)});
  report.contexts[0].runs[0].evicted_share = 0.2;
  report.contexts[0].runs[1].evicted_share = 0.1;
  report.contexts[0].runs[2].evicted_share = 0;
  const auto sentences = break_even_sentences(report);
  EXPECT_THAT(sentences[0], HasSubstr("With expected_attention at 0.5 (0.20 evicted), "));
  EXPECT_THAT(sentences[1], HasSubstr("up to ratio 0.5 (0.20 evicted): "));
  EXPECT_EQ(sentences[3], "tova evicted nothing at 4,096 tokens, whatever was asked for.");
  EXPECT_THAT(break_even_table(report), HasSubstr("ratio  evicted"));
  EXPECT_THAT(break_even_table(report_of({context_of(4096)})), Not(HasSubstr("evicted")));
}

TEST(BreakEvenReport, ComputedNumbersAreMarked) {
  const BreakEvenReport report = report_of({context_of(4096)});
  const Json json = break_even_json(report);
  const Json& runs = json["contexts"][0]["runs"];
  EXPECT_EQ(runs[0]["sooner_after"], 37);
  EXPECT_EQ(runs[0]["sooner_after_measured"], true);
  EXPECT_EQ(runs[1]["sooner_after"], 200 + 1);
  EXPECT_EQ(runs[1]["sooner_after_measured"], false);
  EXPECT_THAT(runs[1]["sentence"].get<std::string>(), HasSubstr("of more than about 201 tokens"));
  EXPECT_THAT(runs[1]["sentence"].get<std::string>(), HasSubstr("(extrapolated from 64 measured tokens)"));
  EXPECT_EQ(runs[2]["sooner_after"], nullptr);
  EXPECT_EQ(runs[0]["answers"][0]["measured"], true);
  EXPECT_EQ(runs[0]["answers"][1]["measured"], false);
  // 1,000 tokens take 999 passes, each 2,048 us shorter.
  EXPECT_NEAR(runs[0]["answers"][1]["saved_sec"].get<double>(), (999 - 36.5) * 2048e-6, 1e-9);
  EXPECT_EQ(json["contexts"][0]["largest_ratio_within_tolerance"]["expected_attention"], 0.5);
  EXPECT_EQ(json["contexts"][0]["largest_ratio_within_tolerance"]["tova"], nullptr);
  EXPECT_FALSE(json.contains("sooner_from_context"));

  const std::string table = break_even_table(report);
  EXPECT_THAT(table, HasSubstr("201*"));
  EXPECT_THAT(table, HasSubstr("37 to 37"));
  EXPECT_THAT(table, HasSubstr("* extrapolated from 64 measured tokens"));
  const std::string csv = break_even_csv(report);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 3 * 2);
  EXPECT_THAT(csv, HasSubstr(",37,true,10,"));
  EXPECT_THAT(csv, HasSubstr(",201,false,1000,"));
}

TEST(BreakEvenReport, NoMarkWhereAllIsMeasured) {
  BreakEvenReport report = report_of({context_of(4096)});
  report.answers = {10};
  report.contexts[0].runs.resize(1);
  EXPECT_THAT(break_even_table(report), Not(HasSubstr("extrapolated")));
}

TEST(BreakEvenReport, SeveralContexts) {
  const BreakEvenReport report = report_of({context_of(2048), context_of(4096)});
  const auto sentences = break_even_sentences(report);
  // 9 passes of 1 or 2 ms make up for nothing.
  EXPECT_THAT(sentences, Contains("With expected_attention at 0.5, an answer of 10 tokens finishes sooner with none of "
                                  "the measured contexts, up to 4,096 tokens (one repeat: no range)."));
  EXPECT_THAT(sentences, Contains("With expected_attention at 0.5, an answer of 1,000 tokens finishes sooner with "
                                  "every measured context of at least 2,048 tokens (one repeat: no range)."));
  const Json json = break_even_json(report);
  EXPECT_EQ(json["sooner_from_context"].size(), 3 * 2);
  EXPECT_EQ(json["sooner_from_context"][0]["context_tokens"], nullptr);
  EXPECT_EQ(json["sooner_from_context"][1]["context_tokens"], 2048);
}

TEST(BreakEvenReport, Picture) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "breakeven.svg";
  write_break_even_picture(report_of({context_of(2048), context_of(4096)}), path);
  const std::string picture = read_file(path);
  EXPECT_THAT(picture, HasSubstr("demo, pg19/test: context of 4096 tokens"));
  EXPECT_THAT(picture, HasSubstr("extrapolated beyond 64"));
  EXPECT_THAT(picture, HasSubstr("tolerance"));
}

}  // namespace
}  // namespace kvpress
