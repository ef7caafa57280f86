#include "kvpress/ops/product/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "ops/isa.h"
#include "ops/random.h"
#include "ops/rowwise.h"
#include "ops/weight_types.h"

namespace kvpress {
namespace {

using testing::random_values;
using testing::rounded_to_bf16;
using testing::weight_types;

constexpr std::int64_t kRowCounts[] = {1, 2, 3, 7, 64, 256, 511, 1000};

double activated(double x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu_erf:
      return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::silu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

/// A weight matrix and its Linear. bfloat16 problems hold only numbers that bfloat16 holds.
struct Problem {
  std::int64_t in;
  std::int64_t out;
  DType type;
  Activation activation;
  std::vector<float> weight, bias;
  Linear linear;

  Problem(std::int64_t out_, std::int64_t in_, DType type_, bool with_bias, Activation activation_ = Activation::none)
      : in(in_), out(out_), type(type_), activation(activation_) {
    weight = rounded_to_bf16(random_values(out * in, 1, 1.0f / std::sqrt(static_cast<float>(in))));
    if (with_bias) bias = random_values(out, 2);
    linear = Linear(
        out, in,
        [this](std::int64_t first, std::int64_t n, float* to) { std::copy_n(weight.data() + first * in, n * in, to); },
        bias, type, activation);
  }

  void expect_right(std::int64_t rows, DType out_type, bool accumulate) const {
    SCOPED_TRACE(::testing::Message() << rows << " rows, " << out << " x " << in << ", " << to_string(type) << " -> "
                                      << to_string(out_type) << ", accumulate " << accumulate << ", kernel "
                                      << linear.kernel(rows));
    auto x = rounded_to_bf16(random_values(rows * in, 3));
    std::vector<std::byte> input(x.size() * size_of(type));
    from_float(x.data(), input.data(), type, rows * in);
    auto y = random_values(rows * out, 4);
    const auto before = y;
    std::vector<std::byte> output(y.size() * size_of(out_type));
    from_float(y.data(), output.data(), out_type, rows * out);
    linear({input.data(), type, rows, in}, {output.data(), out_type, rows, out}, accumulate);
    to_float(output.data(), out_type, y.data(), rows * out);
    double worst = 0;
    const std::int64_t step = std::max<std::int64_t>(1, rows / 16);  // a sample of the rows, the last one included
    for (std::int64_t r = (rows - 1) % step; r < rows; r += step) {
      for (std::int64_t o = 0; o < out; ++o) {
        double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(o)];
        for (std::int64_t i = 0; i < in; ++i) {
          sum += double{x[static_cast<std::size_t>(r * in + i)]} * weight[static_cast<std::size_t>(o * in + i)];
        }
        double expected = activated(sum, activation);
        const auto at = static_cast<std::size_t>(r * out + o);
        if (accumulate) expected += before[at];
        worst =
            std::max(worst, std::fabs(y[at] - expected) - (out_type == DType::bf16 ? 0.004 * std::fabs(expected) : 0));
      }
    }
    EXPECT_LE(worst, activation == Activation::none ? 1e-5 : 2e-4);
  }
};

TEST(Linear, EqualsPlainLoops) {
  for (const DType type : weight_types()) {
    for (const bool with_bias : {false, true}) {
      const Problem problem(96, 80, type, with_bias);
      for (const std::int64_t rows : kRowCounts) {
        problem.expect_right(rows, DType::f32, false);
        problem.expect_right(rows, DType::f32, true);
        if (type == DType::bf16) problem.expect_right(rows, DType::bf16, false);
      }
    }
  }
}

TEST(Linear, OddSizes) {
  for (const DType type : weight_types()) {
    for (const auto& [out, in] : {std::pair{1, 1}, {3, 5}, {17, 33}, {129, 64}, {500, 31}, {1030, 66}, {5003, 510}}) {
      const Problem problem(out, in, type, true);
      for (const std::int64_t rows : {1, 3, 70}) problem.expect_right(rows, DType::f32, false);
    }
  }
}

TEST(Linear, Activations) {
  for (const DType type : weight_types()) {
    for (const Activation activation :
         {Activation::gelu_erf, Activation::gelu_tanh, Activation::relu, Activation::silu}) {
      const Problem problem(64, 48, type, true, activation);
      for (const std::int64_t rows : {1, 7, 100}) {
        problem.expect_right(rows, DType::f32, false);
        problem.expect_right(rows, DType::f32, true);
        if (type == DType::bf16) problem.expect_right(rows, DType::bf16, false);
      }
    }
  }
}

TEST(Linear, CopiesShareTheWeights) {
  const Problem problem(64, 32, DType::f32, false);
  const Linear copy = problem.linear;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(copy.in_features(), 32);
  EXPECT_EQ(copy.out_features(), 64);
  EXPECT_EQ(copy.bytes(), problem.linear.bytes());
  EXPECT_GE(copy.bytes(), 64u * 32u * 4u);
}

TEST(Linear, NoSlowReferenceKernels) {
  if (isa() < Isa::avx2) GTEST_SKIP() << "needs AVX2";
  for (const DType type : weight_types()) {
    for (const auto& [out, in] : {std::pair{1536, 512}, {2048, 512}, {512, 2048}, {960, 576}, {576, 1536}}) {
      const Problem problem(out, in, type, true);
      for (const std::int64_t rows : {1, 2, 7, 64, 256, 512, 2048}) {
        EXPECT_EQ(problem.linear.kernel(rows).find("ref"), std::string_view::npos)
            << rows << " rows of " << to_string(type) << ": " << problem.linear.kernel(rows);
      }
    }
  }
}

TEST(Linear, FewRowsStreamTheWeights) {
  if (isa() < Isa::avx2) GTEST_SKIP() << "needs AVX2";
  for (const DType type : weight_types()) {
    if (type == DType::bf16 && !has_fast_bfloat16()) continue;
    const Problem problem(960, 576, type, false);
    for (const std::int64_t rows : {1, 2, 3, 4}) EXPECT_EQ(problem.linear.kernel(rows), "few_rows") << to_string(type);
  }
}

TEST(Gemm, EqualsPlainLoops) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const std::int64_t m = 13;
      const std::int64_t n = 21;
      const std::int64_t k = 9;
      const auto a = random_values(m * k, 1);
      const auto b = random_values(k * n, 2);
      auto c = random_values(m * n, 3);
      const auto before = c;
      gemm(transpose_a, transpose_b, m, n, k, 0.5f, a.data(), transpose_a ? m : k, b.data(), transpose_b ? k : n, 2.0f,
           c.data(), n);
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (std::int64_t l = 0; l < k; ++l) {
            sum += double{a[static_cast<std::size_t>(transpose_a ? l * m + i : i * k + l)]} *
                   b[static_cast<std::size_t>(transpose_b ? j * k + l : l * n + j)];
          }
          const auto at = static_cast<std::size_t>(i * n + j);
          EXPECT_NEAR(c[at], 0.5 * sum + 2.0 * before[at], 1e-5);
        }
      }
    }
  }
}

}  // namespace
}  // namespace kvpress
