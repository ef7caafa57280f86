#include "eval/breakeven.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "small_model.h"

namespace kvpress {
namespace {

constexpr double kBase = 2e-3;
constexpr double kPerCached = 1e-6;

/// What a machine without noise would give: a pass over n cached tokens takes kBase + kPerCached * n seconds.
AnswerTimes ideal(double cached, double compress_sec, std::int64_t n_tokens, int repeats = 1) {
  AnswerTimes times;
  times.cache_tokens = cached;
  times.cache_bytes = static_cast<std::size_t>(cached * 1000);
  for (int repeat = 0; repeat < repeats; ++repeat) {
    times.prefill_sec.push_back(0.5);
    times.compress_sec.push_back(compress_sec);
    std::vector<double> seconds = {1e-4};  // the context predicts it
    for (std::int64_t i = 1; i < n_tokens; ++i) {
      seconds.push_back(kBase + kPerCached * (cached + static_cast<double>(i)));
    }
    times.token_sec.push_back(seconds);
  }
  return times;
}

/// The same, summed pass by pass.
double plain_seconds(double cached, double compress_sec, std::int64_t n_tokens) {
  double sum = 0.5 + compress_sec;
  for (std::int64_t i = 0; i < n_tokens; ++i) {
    sum += i == 0 ? 1e-4 : kBase + kPerCached * (cached + static_cast<double>(i));
  }
  return sum;
}

AnswerCurve curve(const AnswerTimes& times) { return {times, 0.5, kPerCached}; }

TEST(AnswerCurve, AddsUpWhatWasMeasuredAndComputesTheRest) {
  const AnswerCurve it = curve(ideal(4000, 0.01, 64));
  EXPECT_EQ(it.n_measured(), 64);
  EXPECT_TRUE(it.is_measured(64));
  EXPECT_FALSE(it.is_measured(65));
  EXPECT_DOUBLE_EQ(it.seconds(0), 0.51);
  for (const std::int64_t n : {1, 2, 64, 65, 66, 1000, 10000}) {
    EXPECT_NEAR(it.seconds(n), plain_seconds(4000, 0.01, n), 1e-9 * it.seconds(n)) << n;
  }
}

TEST(AnswerCurve, OneSlowRepeatDoesNotCount) {
  AnswerTimes times = ideal(100, 0.01, 16, 3);
  for (double& it : times.token_sec[1]) it *= 10;
  times.compress_sec[1] = 5;
  EXPECT_NEAR(curve(times).seconds(16), plain_seconds(100, 0.01, 16), 1e-12);
}

TEST(AnswerCurve, GrowthIsTheSlopeOverTheCache) {
  const std::vector<AnswerTimes> answers = {ideal(4000, 0, 32), ideal(2000, 0.1, 32), ideal(1000, 0.1, 32)};
  EXPECT_NEAR(growth_per_cached_token(answers), kPerCached, 1e-12);
  EXPECT_EQ(growth_per_cached_token({}), 0.0);
}

TEST(BreakEven, IsTheLongestAnswerThatDoesNotComeSooner) {
  // Each pass saves kPerCached * 2000 = 2 ms; the first token none.
  const AnswerCurve full = curve(ideal(4000, 0, 64));
  EXPECT_EQ(break_even(full, curve(ideal(2000, 0.0399, 64))), 20);  // 20 passes: 21 tokens
  EXPECT_EQ(break_even(full, curve(ideal(2000, 0.0401, 64))), 21);
  // Beyond what was measured.
  EXPECT_EQ(break_even(full, curve(ideal(2000, 0.1999, 64))), 100);
  EXPECT_EQ(break_even(full, curve(ideal(2000, 3.9999, 64))), 2000);
  EXPECT_EQ(break_even(full, curve(ideal(2000, -1, 64))), 0);
  EXPECT_EQ(break_even(full, curve(ideal(4000, 0.01, 64))), std::nullopt);
  EXPECT_EQ(break_even(full, curve(ideal(2000, 1e4, 64))), std::nullopt) << "only beyond a million tokens";
}

TEST(BreakEven, ADipThatDoesNotLastIsNone) {
  AnswerTimes pressed = ideal(2000, 0.001, 64);
  pressed.token_sec[0][10] += 0.1;  // ahead from the second pass on, but not for long
  EXPECT_EQ(break_even(curve(ideal(4000, 0, 64)), curve(pressed)), 51);
}

BreakEvenContext context_of(std::int64_t n, double compress_sec) {
  BreakEvenContext context;
  context.n_context = n;
  context.full = ideal(static_cast<double>(n), 0, 64, 3);
  for (const double ratio : {0.25, 0.5, 0.75}) {
    PressedAnswer run;
    run.press = "knorm";
    run.compression_ratio = ratio;
    run.times = ideal(static_cast<double>(n) * (1 - ratio), compress_sec, 64, 3);
    run.quality.delta_nll_ci95 = {0, 0.1 * ratio};
    context.runs.push_back(run);
  }
  return context;
}

TEST(BreakEven, SpreadIsOfSingleRepeats) {
  BreakEvenContext context = context_of(4000, 0.0399);
  context.runs[1].times.compress_sec = {0.0199, 0.0399, 0.0999};
  const auto spread = context.break_even_spread(context.runs[1]);
  EXPECT_EQ(spread[0], 10);
  EXPECT_EQ(spread[1], 50);
  context.runs[1].times.compress_sec[2] = 1e5;
  EXPECT_EQ(context.break_even_spread(context.runs[1])[1], std::nullopt);
}

TEST(BreakEven, PassesOverTheContextAreTheSameForAll) {
  BreakEvenContext context = context_of(4000, 0.0399);
  // A slow prefill of one run must not decide.
  context.runs[1].times.prefill_sec = {9, 9, 9};
  EXPECT_DOUBLE_EQ(context.prefill_sec(), 0.5);
  EXPECT_EQ(break_even(context.full_curve(), context.curve(context.runs[1])), 20);
  EXPECT_NEAR(context.growth_sec(), kPerCached, 1e-12);
}

TEST(BreakEven, LargestRatioWithinTheTolerance) {
  const BreakEvenContext context = context_of(1000, 0);
  ASSERT_NE(context.largest_within("knorm", 0.06), nullptr);
  EXPECT_EQ(context.largest_within("knorm", 0.06)->compression_ratio, 0.5);
  EXPECT_EQ(context.largest_within("knorm", 0.05)->compression_ratio, 0.25) << "the interval must end below";
  EXPECT_EQ(context.largest_within("knorm", 0.01), nullptr);
  EXPECT_EQ(context.largest_within("tova", 1), nullptr);
}

TEST(BreakEven, ByTheContext) {
  // At ratio 0.5 a pass saves n / 2 us; 21 tokens take 20 passes: they save 10 us a token of the context. A press of
  // 20 ms has it after 2,000.
  const std::vector<BreakEvenContext> contexts = {context_of(1000, 0.02), context_of(3000, 0.02),
                                                  context_of(4000, 0.02)};
  const auto found = context_break_even(contexts, 1, 21);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->interpolated);
  EXPECT_NEAR(found->n_context, 2000, 1e-6);
  EXPECT_FALSE(context_break_even(contexts, 1, 2));
  const auto always = context_break_even(contexts, 1, 1000);
  ASSERT_TRUE(always);
  EXPECT_FALSE(always->interpolated);
  EXPECT_EQ(always->n_context, 1000);
}

TEST(BreakEven, TimesAnAnswerOverTheCompressedCache) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 1);
  const TokenizedText text = test::random_text(200);
  CompressionSettings settings;
  settings.press = parse_press("streaming_llm");
  settings.budget = Budget::of_ratio(0.75);
  AnswerTimes times;
  for (int i = 0; i < 2; ++i) time_answer(model, text.ids, settings, 5, times);
  EXPECT_EQ(times.cache_tokens, 50);
  EXPECT_EQ(times.n_tokens(), 5);
  EXPECT_THAT(times.prefill_sec, testing::Each(testing::Gt(0)));
  EXPECT_THAT(times.compress_sec, testing::Each(testing::Gt(0)));
  ASSERT_EQ(times.token_sec.size(), 2);
  for (const auto& repeat : times.token_sec) EXPECT_THAT(repeat, testing::Each(testing::Gt(0)));
  AnswerTimes full;
  time_answer(model, text.ids, settings.without_press(), 5, full);
  EXPECT_EQ(full.cache_tokens, 200);
  EXPECT_GT(full.cache_bytes, times.cache_bytes);
}

}  // namespace
}  // namespace kvpress
