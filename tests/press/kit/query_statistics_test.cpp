// Means and covariances of queries whose turned channels have a factor.
#include "press/kit/query_statistics.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kvpress {
namespace {

struct Moments {
  std::vector<float> mean, covariance;
};

Moments moments_of(const std::vector<std::vector<float>>& rows) {
  const std::size_t d = rows[0].size();
  const auto n = static_cast<float>(rows.size());
  Moments result{std::vector<float>(d), std::vector<float>(d * d)};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < d; ++i) result.mean[i] += row[i] / n;
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < d; ++j) {
        result.covariance[i * d + j] += (row[i] - result.mean[i]) * (row[j] - result.mean[j]) / n;
      }
    }
  }
  return result;
}

TEST(QueryStatistics, OfScaledQueriesAreScaledStatistics) {
  constexpr std::int64_t kDim = 6, kRotary = 4;
  constexpr float kFactor = 1.4f;
  std::mt19937 random(2);
  std::normal_distribution<float> normal(1.0f);
  std::vector<std::vector<float>> plain(20, std::vector<float>(kDim));
  for (auto& row : plain) {
    for (float& it : row) it = normal(random);
  }
  auto scaled = plain;
  for (auto& row : scaled) {
    for (std::int64_t c = 0; c < kRotary; ++c) row[c] *= kFactor;
  }
  Moments ours = moments_of(plain);
  scale_turned(kRotary, kFactor, ours.mean);
  scale_turned_both(kRotary, kFactor, kDim, ours.covariance);
  const Moments expected = moments_of(scaled);
  for (std::size_t i = 0; i < ours.mean.size(); ++i) EXPECT_NEAR(ours.mean[i], expected.mean[i], 1e-5);
  for (std::size_t i = 0; i < ours.covariance.size(); ++i) {
    EXPECT_NEAR(ours.covariance[i], expected.covariance[i], 1e-5) << i;
  }
}

}  // namespace
}  // namespace kvpress
