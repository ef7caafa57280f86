// How the next token is drawn from logits.
#include "kvpress/engine/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

const std::vector<float> kLogits = {0.0f, 3.0f, 1.0f, 2.0f};  // from the likeliest: 1, 3, 2, 0

std::int32_t draw(const GenerateSettings& settings, double uniform) {
  std::vector<float> logits = kLogits;
  return sample(logits, settings, uniform);
}

GenerateSettings with(double temperature, std::int64_t top_k = 0, double top_p = 1) {
  GenerateSettings settings;
  settings.temperature = temperature;
  settings.top_k = top_k;
  settings.top_p = top_p;
  return settings;
}

TEST(Sample, WithoutTemperatureTheLikeliest) {
  EXPECT_EQ(draw({}, 0.0), 1);
  EXPECT_EQ(draw({}, 0.999), 1);
}

TEST(Sample, OneOfTopKIsTheLikeliest) {
  for (const double uniform : {0.0, 0.5, 0.999}) {
    EXPECT_EQ(draw(with(1, 1), uniform), 1);
    EXPECT_EQ(draw(with(1, 0, 1e-9), uniform), 1);
  }
}

TEST(Sample, EveryTokenComesAsOftenAsItsProbability) {
  for (const double temperature : {0.7, 1.0}) {
    std::vector<double> expected;
    double sum = 0;
    for (const float logit : kLogits) expected.push_back(std::exp(logit / temperature));
    for (const double value : expected) sum += value;
    std::vector<int> counts(kLogits.size());
    constexpr int kDraws = 100000;
    for (int i = 0; i < kDraws; ++i) {
      ++counts[static_cast<std::size_t>(draw(with(temperature), (i + 0.5) / kDraws))];
    }
    for (std::size_t token = 0; token < counts.size(); ++token) {
      EXPECT_NEAR(counts[token], kDraws * expected[token] / sum, 2) << token;
    }
  }
}

TEST(Sample, TopKAndTopPLeaveOutTheUnlikely) {
  // Probabilities of 1, 3, 2, 0: 0.644, 0.237, 0.087, 0.032.
  for (const GenerateSettings& settings : {with(1, 2), with(1, 0, 0.7)}) {
    EXPECT_EQ(draw(settings, 0.7), 1);  // 0.644 / 0.881 = 0.731
    EXPECT_EQ(draw(settings, 0.74), 3);
    EXPECT_EQ(draw(settings, 0.9999999), 3);
  }
}

/// As transformers' TopKLogitsWarper, then TopPLogitsWarper.
TEST(Sample, TopPIsAShareOfWhatTopKLeaves) {
  // Of the best three 0.665, 0.245, 0.090; of all 0.644, 0.237, 0.087.
  EXPECT_EQ(draw(with(1, 3, 0.66), 0.9999999), 1);
  EXPECT_EQ(draw(with(1, 3, 0.67), 0.9999999), 3);
  EXPECT_EQ(draw(with(1, 3, 0.90), 0.9999999), 3);  // 0.665 + 0.245 = 0.910; of all they are 0.881
  EXPECT_EQ(draw(with(1, 3, 0.92), 0.9999999), 2);
  EXPECT_EQ(draw(with(1, 2, 0.73), 0.9999999), 1);    // of the best two 0.731
  EXPECT_EQ(draw(with(1, 100, 0.95), 0.9999999), 2);  // more than there are: of all
}

/// As transformers' MinPLogitsWarper: a share of the likeliest's probability.
TEST(Sample, MinPLeavesOutWhatIsFarBelowTheLikeliest) {
  // Relative to the likeliest: 1, 0.368, 0.135, 0.050.
  const auto min_p = [](double value) {
    GenerateSettings settings = with(1);
    settings.min_p = value;
    return settings;
  };
  EXPECT_EQ(draw(min_p(0.4), 0.9999999), 1);
  EXPECT_EQ(draw(min_p(0.3), 0.9999999), 3);
  EXPECT_EQ(draw(min_p(0.14), 0.9999999), 3);
  // Without a ranking what may be drawn stands in the order of the vocabulary.
  EXPECT_EQ(draw(min_p(0.1), 0.9999999), 3);
  EXPECT_EQ(draw(min_p(0.1), 0.0), 1);
  GenerateSettings both = with(1, 0, 0.99);
  both.min_p = 0.3;
  EXPECT_EQ(draw(both, 0.74), 3);  // 1 / 1.368 = 0.731
  EXPECT_EQ(draw(both, 0.72), 1);
}

TEST(Sampler, AddsBiases) {
  GenerateSettings settings;
  settings.logit_bias = {{0, 2.5f}, {3, 1.5f}, {1000, 100.0f}, {-1, 100.0f}};
  EXPECT_EQ(Sampler(settings).next(kLogits), 3);  // 2.5, 3, 1, 3.5
  settings.logit_bias = {{1, -100.0f}};
  EXPECT_EQ(Sampler(settings).next(kLogits), 3);
}

TEST(Sampler, PenaltiesCountWhatWasGenerated) {
  GenerateSettings settings;
  settings.presence_penalty = 1.5;
  Sampler presence(settings);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 4; ++i) tokens.push_back(presence.next(kLogits));
  EXPECT_EQ(tokens, (std::vector<std::int32_t>{1, 3, 1, 1}));  // 3; 2 > 1.5; 1.5 > 1, for good
  settings.presence_penalty = 0;
  settings.frequency_penalty = 0.75;
  Sampler frequency(settings);
  tokens.clear();
  for (int i = 0; i < 4; ++i) tokens.push_back(frequency.next(kLogits));
  EXPECT_EQ(tokens, (std::vector<std::int32_t>{1, 1, 3, 1}));  // 3; 2.25; 2 > 1.5; 1.5 > 1.25
}

TEST(Sampler, DrawsTheSameBySeed) {
  const auto drawn = [](std::uint64_t seed) {
    GenerateSettings settings = with(1);
    settings.seed = seed;
    Sampler sampler(settings);
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.next(kLogits));
    return tokens;
  };
  EXPECT_EQ(drawn(7), drawn(7));
  EXPECT_NE(drawn(7), drawn(8));
}

TEST(Sampler, SettingsAreChecked) {
  GenerateSettings settings;
  settings.min_p = 1.5;
  EXPECT_THROW(check_settings(settings), UsageError);
  settings = {};
  settings.frequency_penalty = 3;
  EXPECT_THROW(check_settings(settings), UsageError);
  settings = {};
  settings.logit_bias = {{3, std::numeric_limits<float>::infinity()}};
  EXPECT_THROW(check_settings(settings), UsageError);
}

TEST(Sample, AnyTemperatureNearZeroIsGreedy) {
  for (const double temperature : {1e-3, 1e-20, 1e-37, 1e-38, 1e-39, 1e-45, 1e-300, 5e-324}) {
    for (const double uniform : {0.0, 0.5, 0.9999999}) {
      EXPECT_EQ(draw(with(temperature), uniform), 1) << temperature;
      EXPECT_EQ(draw(with(temperature, 3, 0.9), uniform), 1) << temperature;
    }
  }
}

TEST(Sample, LogitsOfAnySizeGiveAToken) {
  for (const float size : {1.0f, 1e10f, 1e38f}) {
    std::vector<float> logits = {-size, size, 0.5f * size};
    const std::int32_t token = sample(logits, with(1e-6), 0.4);
    EXPECT_EQ(token, 1) << size;
  }
  std::vector<float> logits = {-3e38f, 3e38f, 0};
  EXPECT_EQ(sample(logits, with(0.7), 0.9999), 1);
}

}  // namespace
}  // namespace kvpress
