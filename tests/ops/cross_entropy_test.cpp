#include "ops/cross_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/random.h"

namespace kvpress {
namespace {

using testing::random_values;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

double log_denominator(const float* x, std::int64_t n) {
  const double max = *std::max_element(x, x + n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  return max + std::log(sum);
}

double divergence(const float* p, const float* q, std::int64_t n) {
  const double p_norm = log_denominator(p, n);
  const double q_norm = log_denominator(q, n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (p[i] == -kInfinity) continue;
    sum += std::exp(p[i] - p_norm) * ((p[i] - p_norm) - (q[i] - q_norm));
  }
  return sum;
}

/// What ComparedRows says of logits that come `block` columns at a time.
void compare_logits(Matrix<const float> p, Matrix<const float> q, std::span<float> kl, std::span<std::uint8_t> same,
                    std::int64_t block = 700) {
  const std::vector<std::int32_t> targets(kl.size(), 0);
  std::vector<float> nll(kl.size()), p_logs(kl.size()), q_logs(kl.size());
  CrossEntropyRows p_rows(targets), q_rows(targets);
  for (std::int64_t c = 0; c < p.cols; c += block) {
    p_rows.add(p.columns(c, std::min(block, p.cols - c)), c);
    q_rows.add(q.columns(c, std::min(block, q.cols - c)), c);
  }
  p_rows.finish(nll, p_logs);
  q_rows.finish(nll, q_logs);
  ComparedRows rows(p_logs, q_logs);
  for (std::int64_t c = 0; c < p.cols; c += block) {
    rows.add(p.columns(c, std::min(block, p.cols - c)), q.columns(c, std::min(block, q.cols - c)), c);
  }
  rows.finish(kl, same);
}

TEST(CrossEntropy, EqualsTheDefinition) {
  for (const std::int64_t n : {1, 2, 15, 16, 17, 100, 1000, 50304}) {
    const std::int64_t rows = 5;
    auto logits = random_values(rows * (n + 3), static_cast<std::uint32_t>(n), 4.0f);
    const Matrix<const float> view(logits.data(), rows, n, n + 3);
    if (n > 10) logits[3] = logits[static_cast<std::size_t>(n + 3 + 9)] = -kInfinity;
    std::vector<std::int32_t> targets;
    for (std::int64_t r = 0; r < rows; ++r) targets.push_back(static_cast<std::int32_t>((r * 7919) % n));
    std::vector<float> nll(static_cast<std::size_t>(rows));
    cross_entropy(view, targets, nll);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<std::size_t>(r);
      const double expected = log_denominator(view.row(r), n) - view.row(r)[targets[at]];
      EXPECT_NEAR(nll[at], expected, 2e-6 * std::max(1.0, expected)) << "cols " << n;
    }
  }
}

TEST(CrossEntropy, TakesColumnsInBlocks) {
  const std::int64_t rows = 5;
  const std::int64_t n = 1000;
  auto logits = random_values(rows * n, 6, 4.0f);
  for (std::size_t i = 0; i < 300; ++i) logits[i] = -kInfinity;  // a whole block, and the largest come last or first
  logits[999] = 60.0f;
  logits[1000] = 70.0f;
  const Matrix<const float> view(logits.data(), rows, n);
  const std::vector<std::int32_t> targets = {999, 0, 150, 149, 899};
  std::vector<float> expected(5), nll(5), log_sums(5);
  cross_entropy(view, targets, expected);
  for (const std::int64_t block : {1, 150, 300, 999}) {
    CrossEntropyRows blocks(targets);
    for (std::int64_t c = 0; c < n; c += block) blocks.add(view.columns(c, std::min(block, n - c)), c);
    blocks.finish(nll, log_sums);
    for (std::size_t r = 0; r < 5; ++r) {
      EXPECT_NEAR(nll[r], expected[r], 2e-6f * std::max(1.0f, expected[r])) << block;
      EXPECT_NEAR(log_sums[r], log_denominator(view.row(static_cast<std::int64_t>(r)), n), 1e-5) << block;
    }
  }
}

TEST(CrossEntropy, OfAnImpossibleTargetIsInfinite) {
  const std::vector<float> logits{0, -kInfinity, 1, 2};
  std::vector<float> nll(1);
  cross_entropy(Matrix<const float>(logits.data(), 1, 4), std::vector<std::int32_t>{1}, nll);
  EXPECT_EQ(nll[0], kInfinity);
}

TEST(CompareLogits, EqualsTheDefinition) {
  for (const std::int64_t n : {1, 2, 15, 17, 100, 1000, 50304}) {
    for (const float distance : {1e-3f, 0.1f, 3.0f}) {
      const std::int64_t rows = 4;
      const auto p = random_values(rows * n, 1, 4.0f);
      auto q = random_values(rows * n, 2, distance);
      for (std::size_t i = 0; i < p.size(); ++i) q[i] += p[i] + 2.5f;
      const Matrix<const float> a(p.data(), rows, n);
      const Matrix<const float> b(q.data(), rows, n);
      std::vector<float> kl(static_cast<std::size_t>(rows));
      std::vector<std::uint8_t> same(kl.size());
      compare_logits(a, b, kl, same);
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto at = static_cast<std::size_t>(r);
        const double expected = divergence(a.row(r), b.row(r), n);
        EXPECT_NEAR(kl[at], expected, 2e-7 + 2e-6 * expected) << "cols " << n << ", distance " << distance;
        EXPECT_EQ(same[at] != 0, argmax(a.row(r), n) == argmax(b.row(r), n));
      }
    }
  }
}

TEST(CompareLogits, EqualRowsDivergeByNothing) {
  for (const std::int64_t n : {1, 3, 1000, 50304}) {
    auto p = random_values(3 * n, 3, 5.0f);
    if (n > 2) p[1] = -kInfinity;
    const Matrix<const float> view(p.data(), 3, n);
    std::vector<float> kl(3);
    std::vector<std::uint8_t> same(3);
    compare_logits(view, view, kl, same);
    EXPECT_EQ(kl, (std::vector<float>{0, 0, 0}));
    EXPECT_EQ(same, (std::vector<std::uint8_t>{1, 1, 1}));
  }
}

TEST(CompareLogits, IsNeverNegativeAndInfiniteOnlyWhereItMust) {
  const std::vector<float> p{0, -kInfinity, 1, 2};
  const std::vector<float> q{0, 0.5f, 1, -kInfinity};
  std::vector<float> kl(1);
  std::vector<std::uint8_t> same(1);
  compare_logits(Matrix<const float>(p.data(), 1, 4), Matrix<const float>(q.data(), 1, 4), kl, same);
  EXPECT_EQ(kl[0], kInfinity);
  EXPECT_EQ(same[0], 0);
  compare_logits(Matrix<const float>(p.data(), 1, 3), Matrix<const float>(q.data(), 1, 3), kl, same);
  EXPECT_NEAR(kl[0], divergence(p.data(), q.data(), 3), 1e-6);
  EXPECT_EQ(same[0], 1);

  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const auto a = random_values(1000, seed, 5.0f);
    auto b = a;
    for (std::size_t i = 0; i < b.size(); ++i) b[i] *= 1.0f + 1e-7f * static_cast<float>(i % 3);
    compare_logits(Matrix<const float>(a.data(), 1, 1000), Matrix<const float>(b.data(), 1, 1000), kl, same);
    EXPECT_GE(kl[0], -1e-6f);
    EXPECT_LE(kl[0], 1e-6f);
  }
}

TEST(Argmax, IsTheFirstOfEquals) {
  EXPECT_EQ(argmax(std::vector<float>{1, 3, 3, 2}.data(), 4), 1);
  for (std::int64_t n = 1; n < 100; ++n) {
    const auto x = random_values(n, static_cast<std::uint32_t>(n));
    EXPECT_EQ(argmax(x.data(), n), std::max_element(x.begin(), x.end()) - x.begin());
  }
}

}  // namespace
}  // namespace kvpress
