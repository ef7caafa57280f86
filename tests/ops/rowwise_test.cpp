#include "ops/rowwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/random.h"

namespace kvpress {
namespace {

using testing::random_values;

constexpr std::int64_t kLongest = 200;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Runs `kernel(out)` for a float32 and a bfloat16 result and compares both with `expected`.
template <typename Kernel>
void expect_rows(const std::vector<double>& expected, std::int64_t rows, std::int64_t cols, Kernel kernel) {
  const auto n = expected.size();
  std::vector<float> full(n);
  kernel(Activations{full.data(), DType::f32, rows, cols});
  std::vector<bf16> half(n);
  kernel(Activations{half.data(), DType::bf16, rows, cols});
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_NEAR(full[i], expected[i], 1e-6 * std::fabs(expected[i]) + 4e-6) << "cols " << cols << ", at " << i;
    ASSERT_EQ(half[i].bits, from_float<bf16>(full[i]).bits) << "cols " << cols << ", at " << i;
  }
}

TEST(Rowwise, LayerNorm) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const std::int64_t rows = 3;
    auto x = random_values(rows * (n + 2), 1, 3.0f);
    for (float& value : x) value += 5.0f;
    const auto weight = random_values(n, 2);
    const auto bias = random_values(n, 3);
    const Matrix<const float> view(x.data(), rows, n, n + 2);
    std::vector<double> expected;
    for (std::int64_t r = 0; r < rows; ++r) {
      double mean = 0;
      double variance = 0;
      for (std::int64_t i = 0; i < n; ++i) mean += double{view.row(r)[i]} / static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) variance += std::pow(view.row(r)[i] - mean, 2) / static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        expected.push_back((view.row(r)[i] - mean) / std::sqrt(variance + 1e-5) * weight[at] + bias[at]);
      }
    }
    expect_rows(expected, rows, n,
                [&](const Activations& out) { layer_norm(view, weight.data(), bias.data(), 1e-5f, out); });
  }
}

TEST(Rowwise, RmsNorm) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const auto x = random_values(2 * n, 1, 3.0f);
    const auto weight = random_values(n, 2);
    const Matrix<const float> view(x.data(), 2, n);
    std::vector<double> expected;
    for (std::int64_t r = 0; r < 2; ++r) {
      double square = 0;
      for (std::int64_t i = 0; i < n; ++i) square += std::pow(double{view.row(r)[i]}, 2) / static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) {
        expected.push_back(view.row(r)[i] / std::sqrt(square + 1e-6) * weight[static_cast<std::size_t>(i)]);
      }
    }
    expect_rows(expected, 2, n, [&](const Activations& out) { rms_norm(view, weight.data(), 1e-6f, out); });
  }
}

TEST(Rowwise, SiluMultiply) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const auto x = random_values(2 * 2 * n, 1, 4.0f);
    const Matrix<const float> view(x.data(), 2, 2 * n);
    std::vector<double> expected;
    for (std::int64_t r = 0; r < 2; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        const double gate = view.row(r)[i];
        expected.push_back(gate / (1 + std::exp(-gate)) * view.row(r)[n + i]);
      }
    }
    expect_rows(expected, 2, n, [&](const Activations& out) { silu_multiply(view, out); });
  }
}

TEST(Rowwise, SiluOfLargeGates) {
  const std::vector<float> x{-200, 200, -1e30f, 1e30f, -88.5f, 88.5f, 1, 1, 1, 1, 1, 1};
  std::vector<float> y(6);
  silu_multiply(Matrix<const float>(x.data(), 1, 12), {y.data(), DType::f32, 1, 6});
  const std::vector<float> expected{0, 200, 0, 1e30f, 0, 88.5f};
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y[i], expected[i], 1e-8) << x[i];
  }
}

TEST(Rowwise, ManyRowsOnThreads) {
  const std::int64_t rows = 500;
  const std::int64_t n = 100;
  const auto x = random_values(rows * n, 1);
  const std::vector<float> weight(static_cast<std::size_t>(n), 1.0f);
  std::vector<float> y(x.size());
  rms_norm(Matrix<const float>(x.data(), rows, n), weight.data(), 0.0f, {y.data(), DType::f32, rows, n});
  for (std::int64_t r = 0; r < rows; ++r) {
    double square = 0;
    for (std::int64_t i = 0; i < n; ++i) square += std::pow(double{y[static_cast<std::size_t>(r * n + i)]}, 2);
    EXPECT_NEAR(square / static_cast<double>(n), 1.0, 1e-5);
  }
}

TEST(Rowwise, MaxAddScale) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const auto x = random_values(n, static_cast<std::uint32_t>(n));
    EXPECT_EQ(max_value(x.data(), n), *std::max_element(x.begin(), x.end()));
    auto sum = random_values(n, 5);
    auto expected = sum;
    add(x.data(), sum.data(), n);
    for (std::size_t i = 0; i < x.size(); ++i) expected[i] += x[i];
    EXPECT_EQ(sum, expected);
    scale(sum.data(), n, 0.3f);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], expected[i] * 0.3f);
  }
  EXPECT_EQ(max_value(nullptr, 0), -kInfinity);
}

TEST(Rowwise, FindsWhatIsNotFinite) {
  for (const std::int64_t n : {1, 2, 7, 16, 33, 100}) {
    auto x = random_values(n, 5, 1e30f);
    EXPECT_TRUE(all_finite(x.data(), n));
    for (std::int64_t i = 0; i < n; ++i) {
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        const float good = x[static_cast<std::size_t>(i)];
        x[static_cast<std::size_t>(i)] = bad;
        EXPECT_FALSE(all_finite(x.data(), n)) << n << " " << i;
        x[static_cast<std::size_t>(i)] = good;
      }
    }
  }
  EXPECT_TRUE(all_finite(nullptr, 0));
}

TEST(Rowwise, ExponentialsAreExactToRounding) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const auto x = random_values(n, static_cast<std::uint32_t>(n), 10.0f);
    auto y = x;
    const float sum = exp_shifted(y.data(), n, 3.0f);
    double expected_sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(double{x[i]} - 3.0);
      expected_sum += expected;
      // The argument itself is rounded to float32: its error grows with its size.
      ASSERT_NEAR(y[i], expected, expected * (2e-7 + 6e-8 * std::fabs(x[i] - 3.0))) << x[i];
    }
    ASSERT_NEAR(sum, expected_sum, 3e-6 * expected_sum);
    double all = 0;
    for (const float value : x) all += std::exp(double{value});
    ASSERT_NEAR(log_sum_exp(x.data(), n), std::log(all), 3e-6 + 1e-7 * std::fabs(std::log(all)));
  }
}

TEST(Rowwise, LogSumExpOfExtremes) {
  EXPECT_FLOAT_EQ(log_sum_exp(std::vector<float>{1000, 1000}.data(), 2), 1000 + std::log(2.0f));
  EXPECT_FLOAT_EQ(log_sum_exp(std::vector<float>{-1e30f, 5, -kInfinity}.data(), 3), 5);
  EXPECT_EQ(log_sum_exp(std::vector<float>{-kInfinity, -kInfinity}.data(), 2), -kInfinity);
  std::vector<float> x{0, -kInfinity, -200, -1e30f};
  EXPECT_EQ(exp_shifted(x.data(), 4, 0.0f), 1.0f);
  EXPECT_EQ(x, (std::vector<float>{1, 0, 0, 0}));
}

TEST(Rowwise, Conversions) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (std::int64_t n = 1; n <= kLongest; ++n) {
      auto x = random_values(n, static_cast<std::uint32_t>(n), 100.0f);
      if (n > 3) {
        x[0] = kInfinity;
        x[1] = std::numeric_limits<float>::quiet_NaN();
        x[2] = 1e-41f;
        x[3] = -3e38f;
      }
      std::vector<std::byte> bytes(x.size() * size_of(type));
      from_float(x.data(), bytes.data(), type, n);
      std::vector<float> back(x.size());
      to_float(bytes.data(), type, back.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i) {
        float expected = x[i];
        if (type == DType::bf16) expected = to_float(from_float<bf16>(x[i]));
        if (type == DType::f16) expected = to_float(from_float<f16>(x[i]));
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(back[i]));
        } else {
          ASSERT_EQ(back[i], expected) << to_string(type) << " of " << x[i];
        }
      }
    }
  }
}

TEST(Rowwise, SoftCapIsTanh) {
  for (const std::int64_t n : {1, 3, 16, 67}) {
    for (const float cap : {0.5f, 30.0f}) {
      auto x = random_values(n, 5, 40.0f);
      x[0] = 1e30f;
      const auto before = x;
      soft_cap(x.data(), n, cap);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double expected =
            static_cast<double>(cap) * std::tanh(static_cast<double>(before[i]) / static_cast<double>(cap));
        EXPECT_NEAR(x[i], expected, 4e-7 * static_cast<double>(cap)) << before[i];
      }
    }
  }
  std::vector<float> strange = {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()};
  soft_cap(strange.data(), 2, 2.0f);
  EXPECT_TRUE(std::isnan(strange[0]));
  EXPECT_EQ(strange[1], -2.0f);
}

}  // namespace
}  // namespace kvpress
