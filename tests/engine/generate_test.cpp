// How the next token is drawn from logits.
#include "kvpress/engine/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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
