// What must hold of every run, whatever its numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "kvpress/engine/memory_plan.h"
#include "kvpress/eval/experiment.h"
#include "press/suggested.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

constexpr const char* kPresses[] = {"pyramidkv",
                                    "composed(keydiff, snapkv)",
                                    "random",
                                    "knorm",
                                    "streaming_llm",
                                    "keydiff",
                                    "tova",
                                    "snapkv",
                                    "expected_attention",
                                    "observed_attention",
                                    "lagkv(lag_size=32)",
                                    "cur",
                                    "cur(use_random_leverage=true)",
                                    "leverage",
                                    "cap",
                                    "non_causal_attention(chunk_size=50)",
                                    "compactor"};

/// A random model with grouped queries, and a text of random tokens.
class Property : public testing::Test {
 protected:
  Property() : model_(random_model(test::small_config(), {false, DType::f32}, 7)), text_(test::random_text(700)) {}

  RunResult run(const std::string& press, double ratio, Protocol protocol = Protocol::chunked,
                DType cache = DType::f32) {
    RunSettings settings;
    settings.protocol.protocol = protocol;
    settings.protocol.max_length = 512;
    settings.protocol.stride = 256;
    settings.protocol.chunk_size = 128;
    settings.compression.budget.ratio = ratio;
    settings.compression.cache_format = cache;
    return test::run_press(model_, {text_}, parse_press(press), settings);
  }

  Model model_;
  TokenizedText text_;
};

TEST_F(Property, TwoRunsOfAPressAreTheSame) {
  for (const char* press : kPresses) EXPECT_EQ(run(press, 0.5).nll, run(press, 0.5).nll) << press;
}

TEST_F(Property, OneThreadGivesWhatTwoGive) {
  for (const char* press : kPresses) {
    set_threads(1);
    const RunResult one = run(press, 0.5);
    set_threads(2);
    const RunResult two = run(press, 0.5);
    set_threads(0);
    ASSERT_EQ(one.nll.size(), two.nll.size());
    for (std::size_t i = 0; i < one.nll.size(); ++i) ASSERT_NEAR(one.nll[i], two.nll[i], 1e-4) << press << " " << i;
  }
}

TEST_F(Property, ChunksWithoutAPressGiveOneLongPrefill) {
  RunSettings settings;
  settings.protocol.max_length = 700;
  settings.protocol.chunk_size = 77;
  const RunResult chunks = test::run_press(model_, {text_}, parse_press("no_press"), settings);
  settings.protocol.protocol = Protocol::window;
  settings.protocol.stride = 700;
  const RunResult whole = test::run_press(model_, {text_}, parse_press("no_press"), settings);
  ASSERT_EQ(chunks.nll.size(), 699u);
  for (std::size_t i = 0; i < chunks.nll.size(); ++i) EXPECT_NEAR(chunks.nll[i], whole.nll[i], 1e-4);
}

TEST_F(Property, TheCacheFallsByTheRatio) {
  const RunResult full = run("no_press", 0);
  EXPECT_EQ(full.cache_tokens, 512);
  for (const char* press : kPresses) {
    for (const double ratio : {0.25, 0.5, 0.75}) {
      const RunResult less = run(press, ratio);
      EXPECT_EQ(less.cache_tokens, 512 * (1 - ratio)) << press;
      EXPECT_NEAR(static_cast<double>(less.cache_bytes) / static_cast<double>(full.cache_bytes), 1 - ratio, 0.03)
          << press;
      // Never more than the budget and a chunk, give or take a page a head.
      EXPECT_LE(less.cache_bytes_peak, full.cache_bytes) << press;
    }
  }
  const RunResult half = run("knorm", 0, Protocol::chunked, DType::bf16);
  EXPECT_NEAR(static_cast<double>(half.cache_bytes) / static_cast<double>(full.cache_bytes), 0.5, 0.02);
}

TEST_F(Property, AFixedBudgetHoldsWhateverTheLengthAndThePositions) {
  for (const Positions positions : {Positions::text, Positions::cache}) {
    RunSettings settings;
    settings.protocol.max_length = 700;
    settings.protocol.chunk_size = 60;
    settings.compression.budget = Budget::of_tokens(100);
    settings.compression.positions = positions;
    for (const Protocol protocol : {Protocol::chunked, Protocol::continuation, Protocol::decode}) {
      settings.protocol.protocol = protocol;
      Experiment experiment(model_, {text_}, settings);
      for (const char* press : {"streaming_llm", "snapkv", "expected_attention"}) {
        const Outcome outcome = experiment.run(parse_press(press), 0.9);
        EXPECT_EQ(outcome.run.cache_tokens, 100) << press;
        EXPECT_NEAR(outcome.compression_ratio, 1 - 100 / experiment.baseline().cache_tokens, 1e-9);
      }
      EXPECT_GT(experiment.baseline().cache_tokens, 300);
    }
    EXPECT_EQ(highest_position(settings.protocol, settings.compression, 700), positions == Positions::text ? 700 : 450);
    settings.protocol.protocol = Protocol::chunked;
    EXPECT_EQ(highest_position(settings.protocol, settings.compression, 700), positions == Positions::text ? 700 : 160);
  }
}

TEST_F(Property, TheCurveIsThePerplexityStretchByStretch) {
  const RunResult result = run("knorm", 0.5);  // segments of 512 and 188 tokens
  const auto curve = perplexity_curve(result, 150);
  ASSERT_EQ(curve.size(), 4u);
  EXPECT_EQ(curve[1].from, 150);
  EXPECT_EQ(curve[0].n_scored, 149 + 149);
  EXPECT_EQ(curve[1].n_scored, 150 + 38);
  EXPECT_EQ(curve[3].n_scored, 62);
  double sum = 0;
  for (const CurvePoint& it : curve) sum += static_cast<double>(it.n_scored) * std::log(it.perplexity);
  EXPECT_NEAR(sum / 698, result.mean_nll(), 1e-9);
  double last = 0;
  for (std::size_t i = 449; i < 511; ++i) last += result.nll[i];
  EXPECT_NEAR(std::log(curve[3].perplexity), last / 62, 1e-6);
}

TEST_F(Property, EachTokenIsScoredOnce) {
  EXPECT_EQ(run("no_press", 0, Protocol::window).nll.size(), 699u);
  EXPECT_EQ(run("no_press", 0, Protocol::chunked).nll.size(), 698u);  // two segments: two unscored first tokens
  EXPECT_EQ(run("no_press", 0, Protocol::continuation).nll.size(), 350u);
  EXPECT_EQ(run("no_press", 0, Protocol::decode).nll.size(), 350u);
  EXPECT_EQ(run("no_press", 0, Protocol::continuation).n_bytes, 3 * 350);
}

TEST_F(Property, DecodingTokenByTokenIsContinuation) {
  const RunResult once = run("knorm", 0.5, Protocol::continuation);
  const RunResult steps = run("knorm", 0.5, Protocol::decode);
  for (std::size_t i = 0; i < once.nll.size(); ++i) EXPECT_NEAR(once.nll[i], steps.nll[i], 1e-4);
}

TEST_F(Property, DecodingHoldsTheTarget) {
  text_.ids.resize(160);
  text_.n_bytes.resize(160);
  RunSettings settings;
  settings.protocol.protocol = Protocol::decode;
  settings.protocol.context_tokens = 120;
  settings.compression.compression_interval = 13;
  settings.compression.decoding_budget = Budget::of_tokens(48);
  settings.compression.budget.ratio = 0.5;
  for (const char* press : kPresses) {
    const RunResult result = test::run_press(model_, {text_}, parse_press(press), settings);
    EXPECT_EQ(result.cache_tokens, 48) << press;  // after the last compression
    EXPECT_EQ(result.nll.size(), 40u) << press;
    for (const float nll : result.nll) EXPECT_TRUE(std::isfinite(nll)) << press;
  }
}

TEST_F(Property, EveryPressRunsUnderEveryScheduleOnLongAndShortTexts) {
  TokenizedText few = text_;
  few.ids.resize(7);
  few.n_bytes.resize(7);
  int n_run = 0;
  for (const std::string& name : suggested_presses()) {
    SCOPED_TRACE(name);
    const NamedPress press = parse_press(name);
    try {
      press.prepare({model_.config(), "random", nullptr});
    } catch (const Error&) {
      continue;  // wants trained parts
    }
    ++n_run;
    for (const Protocol protocol : {Protocol::chunked, Protocol::continuation, Protocol::decode}) {
      RunSettings settings;
      settings.protocol.protocol = protocol;
      settings.protocol.max_length = 512;
      settings.protocol.chunk_size = 100;
      settings.protocol.context_tokens = protocol == Protocol::decode ? 660 : 400;
      settings.compression.budget.ratio = 0.8;
      const RunResult result = test::run_press(model_, {text_}, press, settings);
      for (const float nll : result.nll) ASSERT_TRUE(std::isfinite(nll)) << to_string(protocol);
      EXPECT_LE(result.cache_tokens, 700) << to_string(protocol);
      settings.compression.cache_format = {DType::f32, protocol == Protocol::chunked ? 8 : 4, 32};
      const RunResult quantized = test::run_press(model_, {text_}, press, settings);
      for (const float nll : quantized.nll) ASSERT_TRUE(std::isfinite(nll)) << to_string(protocol);
      EXPECT_NEAR(quantized.cache_tokens, result.cache_tokens, 0.2 * result.cache_tokens) << to_string(protocol);
      settings.compression.cache_format = {};
      // Less than the windows, sinks and chunks that presses keep; and a budget of one token.
      settings.protocol.context_tokens = 4;
      settings.protocol.chunk_size = 2;
      const RunResult little = test::run_press(model_, {few}, press, settings);
      for (const float nll : little.nll) ASSERT_TRUE(std::isfinite(nll)) << to_string(protocol);
    }
  }
  EXPECT_GT(n_run, 20);
}

TEST_F(Property, WindowCannotSeeCompression) {
  const RunResult full = run("no_press", 0, Protocol::window);
  const RunResult pressed = run("streaming_llm", 0.9, Protocol::window);
  EXPECT_EQ(full.nll, pressed.nll);
  EXPECT_LT(pressed.cache_tokens, full.cache_tokens);
}

TEST_F(Property, AnExperimentsFullCacheAgreesWithItself) {
  RunSettings settings;
  settings.protocol.max_length = 256;
  settings.protocol.chunk_size = 64;
  Experiment experiment(model_, {text_}, settings);
  const Outcome same = experiment.run(parse_press("no_press"), 0.5);
  EXPECT_EQ(same.compression_ratio, 0);
  EXPECT_EQ(same.comparison.delta_nll, 0);
  EXPECT_EQ(same.comparison.kl_full, 0);
  EXPECT_EQ(same.comparison.top1_agreement, 1);
  const Outcome pressed = experiment.run(parse_press("random"), 0.9);
  EXPECT_GT(pressed.comparison.kl_full, 0);
  EXPECT_LE(pressed.comparison.delta_nll_ci95[0], pressed.comparison.delta_nll);
  EXPECT_GE(pressed.comparison.delta_nll_ci95[1], pressed.comparison.delta_nll);
  EXPECT_NEAR(pressed.comparison.delta_nll, pressed.run.mean_nll() - experiment.baseline().mean_nll(), 1e-6);
}

TEST_F(Property, FewerBitsCostMoreAndTakeLess) {
  RunSettings settings;
  settings.protocol.protocol = Protocol::continuation;
  settings.protocol.context_tokens = 500;
  Experiment experiment(model_, {text_}, settings);
  const NamedPress none = parse_press("no_press");
  const Outcome full = experiment.run(none, 0);
  const Outcome int8 = experiment.run(none, 0, {DType::f32, 8, 32});
  const Outcome int4 = experiment.run(none, 0, {DType::f32, 4, 32});
  EXPECT_EQ(full.comparison.kl_full, 0);
  EXPECT_GT(int8.comparison.kl_full, 0);
  EXPECT_LT(int8.comparison.kl_full, 1e-4);
  EXPECT_GT(int4.comparison.kl_full, 4 * int8.comparison.kl_full);
  EXPECT_LT(int8.run.cache_bytes, full.run.cache_bytes / 2);
  EXPECT_LT(int4.run.cache_bytes, int8.run.cache_bytes);
  EXPECT_EQ(to_string(int4.run.cache_format), "int4");

  // The full cache that all is compared with is not quantized, whatever the settings say.
  settings.compression.cache_format = {DType::f32, 4, 32};
  Experiment quantized(model_, {text_}, settings);
  EXPECT_EQ(quantized.baseline().nll, full.run.nll);
  EXPECT_EQ(quantized.full().run.nll, int4.run.nll);
}

TEST_F(Property, ATokenOutsideTheVocabularyIsRefused) {
  text_.ids[100] = 500;
  EXPECT_THROW(run("no_press", 0), Error);
  text_.ids[100] = -1;
  EXPECT_THROW(run("no_press", 0), Error);
}

TEST_F(Property, TooShortTextsAndSenselessSettingsAreRefused) {
  text_.ids.resize(1);
  EXPECT_THROW(run("no_press", 0), UsageError);
  ProtocolSettings settings;
  settings.protocol = Protocol::continuation;
  settings.context_tokens = 10;
  EXPECT_THROW(context_of(settings, 10), UsageError);
  CompressionSettings compression;
  EXPECT_THROW(compression.set_budgets(0.5, {}, 5), UsageError);
  compression.set_budgets(0.5, Budget::of_tokens(5), 5);
  EXPECT_THROW(check_settings(settings, compression), UsageError);  // only decode compresses again
  settings.protocol = Protocol::decode;
  EXPECT_NO_THROW(check_settings(settings, compression));
  settings = {};
  settings.protocol = Protocol::window;
  settings.stride = 2000;
  EXPECT_THROW(check_settings(settings), UsageError);
}

TEST(Bootstrap, CoversTheMeanOfIndependentValuesAsTheNormalIntervalDoes) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal(0.3, 1.0);
  std::vector<double> values(6400);
  double sum = 0;
  for (double& value : values) sum += value = normal(random);
  const double mean = sum / 6400;
  const auto [low, high] = block_bootstrap_ci95(values, 64, 5);
  EXPECT_NEAR(low, mean - 1.96 / 80, 0.008);
  EXPECT_NEAR(high, mean + 1.96 / 80, 0.008);
  EXPECT_EQ(block_bootstrap_ci95(std::vector<double>(10, 2.0), 64, 5), (std::array<double, 2>{2.0, 2.0}));
}

TEST(MemoryPlan, ARunThatDoesNotFitSaysSoWithTheNumbers) {
  const ModelConfig config = named_shape("pythia-70m");
  const auto weights = [&](HeldWeights held) {
    return held_weight_bytes(config, {DType::f32, DType::f32, held}, nullptr);
  };
  const MemoryPlan plan = plan_memory(config, weights(HeldWeights::as_float), DType::f32, 8192, 8192);
  EXPECT_NEAR(plan.weights, 4 * 70.4e6, 4e6);
  EXPECT_NEAR(weights(HeldWeights::as_int8) / plan.weights, 8.5 / 32, 1e-6);
  // The output product, 50304 x 512 of the 70.4e6, stays in 8.5 bits.
  EXPECT_NEAR(weights(HeldWeights::as_int4), (5.0 * 70.4e6 + 3.5 * 50304 * 512) / 8, 1e6);
  EXPECT_GT(plan.cache, 8192.0 * 6 * 2 * 512 * 4);
  EXPECT_NO_THROW(check_memory(plan, plan.total()));
  try {
    check_memory(plan, plan.total() - 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("MiB"), std::string::npos);
  }
}

}  // namespace
}  // namespace kvpress
