#include "ops/output_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/cross_entropy.h"
#include "ops/random.h"
#include "ops/weight_types.h"

namespace kvpress {
namespace {

using testing::random_values;
using testing::rounded_to_bf16;
using testing::weight_types;

constexpr std::int64_t kHidden = 48;
constexpr std::int64_t kVocab = 4001;  // some blocks of columns and a rest
constexpr std::int64_t kRows = kOutputRows + 3;

Linear make_head(DType type) {
  const auto weight = rounded_to_bf16(random_values(kVocab * kHidden, 1, 0.3f));
  return Linear(
      kVocab, kHidden,
      [&](std::int64_t first, std::int64_t n, float* to) {
        std::copy_n(weight.data() + first * kHidden, n * kHidden, to);
      },
      {}, type);
}

std::vector<std::pair<DType, float>> with_and_without_soft_cap() {
  std::vector<std::pair<DType, float>> all;
  for (const DType type : weight_types()) {
    for (const float soft_cap : {0.0f, 0.7f}) all.emplace_back(type, soft_cap);
  }
  return all;
}

double log_sum_of(const float* logits) {
  const double max = *std::max_element(logits, logits + kVocab);
  double sum = 0;
  for (std::int64_t v = 0; v < kVocab; ++v) sum += std::exp(logits[v] - max);
  return max + std::log(sum);
}

/// KL of two rows of logits, by its definition.
double divergence_of(const float* p, const float* q) {
  const double p_log = log_sum_of(p), q_log = log_sum_of(q);
  double sum = 0;
  for (std::int64_t v = 0; v < kVocab; ++v) sum += std::exp(p[v] - p_log) * ((p[v] - p_log) - (q[v] - q_log));
  return sum;
}

TEST(OutputLoss, EqualsLossesOfAllLogits) {
  for (const auto& [type, soft_cap] : with_and_without_soft_cap()) {
    const Linear product = make_head(type);
    const OutputHead head(product, soft_cap);
    // Rows with gaps, as views of wider matrices have them.
    const std::int64_t stride = kHidden + 4;
    const auto p = rounded_to_bf16(random_values(kRows * stride, 2));
    const auto q = rounded_to_bf16(random_values(kRows * stride, 3));
    const Matrix<const float> full(p.data(), kRows, kHidden, stride);
    const Matrix<const float> compressed(q.data(), kRows, kHidden, stride);
    std::vector<float> p_logits(static_cast<std::size_t>(kRows * kVocab));
    std::vector<float> q_logits(p_logits.size());
    output_logits(full, head, Matrix<float>(p_logits.data(), kRows, kVocab));
    output_logits(compressed, product, Matrix<float>(q_logits.data(), kRows, kVocab));
    if (soft_cap > 0) {
      for (float& it : q_logits) it = soft_cap * std::tanh(it / soft_cap);
    }
    const Matrix<const float> all_p(p_logits.data(), kRows, kVocab);
    const Matrix<const float> all_q(q_logits.data(), kRows, kVocab);

    std::vector<std::int32_t> targets;
    for (std::int64_t r = 0; r < kRows; ++r) targets.push_back(static_cast<std::int32_t>(r * 37 % kVocab));
    std::vector<float> expected(static_cast<std::size_t>(kRows));
    std::vector<float> actual(expected.size());
    std::vector<std::uint8_t> expected_top(expected.size());
    std::vector<std::uint8_t> actual_top(expected.size());
    std::vector<float> p_logs(expected.size()), q_logs(expected.size());
    cross_entropy_plain(all_q, targets, expected);
    output_cross_entropy(compressed, head, targets, actual, q_logs);
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5);
    cross_entropy_plain(all_p, targets, expected);
    output_cross_entropy(full, head, targets, actual, p_logs);
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5);
    std::vector<float> few(3);
    output_cross_entropy(full.block(0, 3), head, std::span(targets).first(3), few);
    for (std::size_t i = 0; i < few.size(); ++i) EXPECT_NEAR(few[i], expected[i], 1e-5);
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto i = static_cast<std::size_t>(r);
      expected[i] = static_cast<float>(divergence_of(all_p.row(r), all_q.row(r)));
      expected_top[i] = argmax(all_p.row(r), kVocab) == argmax(all_q.row(r), kVocab) ? 1 : 0;
    }
    output_compare({full, p_logs}, {compressed, q_logs}, head, actual, actual_top);
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5);
    EXPECT_EQ(actual_top, expected_top);
    output_compare({full, p_logs}, {full, p_logs}, head, actual, actual_top);
    EXPECT_EQ(*std::max_element(actual.begin(), actual.end()), 0.0f);
  }
}

/// The losses of states with one that is not finite.
void expect_no_number(const OutputHead& head) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::int64_t rows : {std::int64_t{4}, kRows}) {
      auto values = random_values(rows * kHidden, 2);
      const auto good = values;
      values[static_cast<std::size_t>(2 * kHidden + 5)] = bad;
      const Matrix<const float> hidden(values.data(), rows, kHidden);
      const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 7);
      std::vector<float> nll(targets.size()), logs(targets.size()), kl(targets.size());
      std::vector<std::uint8_t> top(targets.size());
      output_cross_entropy(hidden, head, targets, nll, logs);
      for (std::size_t i = 0; i < nll.size(); ++i) {
        EXPECT_EQ(std::isfinite(nll[i]), i != 2);
        EXPECT_EQ(std::isfinite(logs[i]), i != 2);
      }
      // What the sums of the rows say does not matter.
      std::fill(logs.begin(), logs.end(), 8.0f);
      output_compare({{good.data(), rows, kHidden}, logs}, {hidden, logs}, head, kl, top);
      for (std::size_t i = 0; i < kl.size(); ++i) EXPECT_EQ(std::isfinite(kl[i]), i != 2);
    }
  }
}

TEST(OutputLoss, OfLogitsThatAreNotFiniteIsNoNumber) {
  for (const auto& [type, soft_cap] : with_and_without_soft_cap()) {
    const Linear product = make_head(type);
    expect_no_number({product, soft_cap});
  }
}

}  // namespace
}  // namespace kvpress
