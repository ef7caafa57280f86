#include "ops/topk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace kvpress {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The definition: sort by score, NaN first, the later index first among equals.
std::vector<std::int32_t> by_sorting(const std::vector<float>& scores, std::int64_t k) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    if (std::isnan(x) != std::isnan(y)) return std::isnan(x);
    if (!std::isnan(x) && x != y) return x > y;
    return a > b;
  });
  order.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(k, 0, static_cast<std::int64_t>(scores.size()))));
  std::sort(order.begin(), order.end());
  return order;
}

TEST(TopK, EqualsSorting) {
  std::mt19937 generator(7);
  for (const std::int64_t n : {1, 2, 3, 10, 100, 1000, 5000}) {
    for (int round = 0; round < 6; ++round) {
      std::vector<float> scores(static_cast<std::size_t>(n));
      for (float& score : scores) {
        // Many ties, both zeros, both infinities, a few NaN.
        score = static_cast<float>(static_cast<int>(generator() % 21) - 10);
        if (round % 2 == 1) score += static_cast<float>(generator() % 1000) * 1e-3f;
        if (score == 0 && generator() % 2 == 0) score = -0.0f;
        if (generator() % 50 == 0) score = kNan;
        if (generator() % 50 == 0) score = -kNan;
        if (generator() % 50 == 0) score = generator() % 2 == 0 ? kInfinity : -kInfinity;
      }
      for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, n / 3, n / 2, n - 1, n, n + 5}) {
        EXPECT_EQ(top_k(scores, k), by_sorting(scores, k)) << "n " << n << ", k " << k;
      }
    }
  }
}

TEST(TopK, TakesTheLaterOfEqualScores) {
  EXPECT_EQ(top_k(std::vector<float>{1, 1, 1, 1}, 2), (std::vector<std::int32_t>{2, 3}));
  EXPECT_EQ(top_k(std::vector<float>{0.0f, -0.0f, -1}, 1), (std::vector<std::int32_t>{1}));
}

TEST(TopK, OfNothingIsNothing) {
  EXPECT_TRUE(top_k({}, 3).empty());
  EXPECT_TRUE(top_k(std::vector<float>{1, 2}, -1).empty());
}

}  // namespace
}  // namespace kvpress
