// SwiGLU on tiles, by the processor's and by the software model of them.
#include "ops/product/gated_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/product/twelve_bit.h"
#include "ops/random.h"

namespace kvpress {
namespace {

using testing::random_values;
using testing::rounded_to_bf16;

bool has(Isa isa) {
  const auto there = available_isas();
  return std::find(there.begin(), there.end(), isa) != there.end();
}

const GatedKernels* hardware() { return has(Isa::amx) ? amx_gated_kernels() : nullptr; }
const GatedKernels* software() { return has(Isa::avx512_bf16) ? software_gated_kernels() : nullptr; }

/// Weights of gates and what they are gates of, and rows.
struct Problem {
  std::int64_t n, in, rows;
  std::vector<float> weight, x;  // [2 n, in], [rows, in]
  Linear product;

  Problem(std::int64_t n_, std::int64_t in_, std::int64_t rows_, bool twelve_bit, float scale = 1.0f)
      : n(n_),
        in(in_),
        rows(rows_),
        weight(rounded_to_bf16(random_values(2 * n * in, 1, 2.0f / std::sqrt(static_cast<float>(in))))),
        x(rounded_to_bf16(random_values(rows * in, 2, scale))) {
    const WeightRows weight_rows = [this](std::int64_t first, std::int64_t count, float* to) {
      std::copy_n(weight.data() + first * in, count * in, to);
    };
    if (twelve_bit) {
      PageArena arena;
      product = {
          std::make_shared<TwelveBitWeights>(*TwelveBitWeights::pack(2 * n, in, weight_rows, arena)), {}, DType::bf16};
    } else {
      product = Linear(2 * n, in, weight_rows, {}, DType::bf16);
    }
  }

  double dot(std::int64_t row, std::int64_t column) const {
    double sum = 0;
    for (std::int64_t k = 0; k < in; ++k) {
      sum += static_cast<double>(x[row * in + k]) * static_cast<double>(weight[column * in + k]);
    }
    return sum;
  }

  std::vector<float> run(const GatedKernels& kernels) const {
    std::vector<bf16> inputs(x.size()), out(static_cast<std::size_t>(rows * n));
    for (std::size_t i = 0; i < x.size(); ++i) inputs[i] = from_float<bf16>(x[i]);
    gated_product(kernels, product, {inputs.data(), DType::bf16, rows, in}, {out.data(), DType::bf16, rows, n});
    std::vector<float> result(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) result[i] = to_float(out[i]);
    return result;
  }
};

class GatedProduct : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    kernels_ = GetParam() ? hardware() : software();
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor has no " << (GetParam() ? "AMX" : "AVX-512 BF16");
    if (!has_fast_bfloat16()) GTEST_SKIP() << "products of bfloat16 are not packed for tiles here";
  }

  /// A result in bfloat16 carries 2^-8 of relative error; its sums in float32 are off by some 1e-6 of their terms.
  void expect_like_definition(const Problem& problem) {
    const auto actual = problem.run(*kernels_);
    for (std::int64_t r = 0; r<problem.rows; r += problem.rows> 100 ? 37 : 1) {
      for (std::int64_t c = 0; c < problem.n; ++c) {
        const double gate = problem.dot(r, c), up = problem.dot(r, problem.n + c);
        const double expected = gate / (1 + std::exp(-gate)) * up;
        ASSERT_NEAR(actual[r * problem.n + c], expected, std::fabs(expected) / 250 + 2e-5) << "row " << r << ", " << c;
      }
    }
  }

  const GatedKernels* kernels_ = nullptr;
};

TEST_P(GatedProduct, EqualsTheDefinition) {
  for (const bool twelve_bit : {false, true}) {
    for (const std::int64_t in : {33, 64, 700, 1300}) expect_like_definition(Problem(128, in, 70, twelve_bit));
    for (const std::int64_t rows : {1, 31, 32, 33, 1100}) expect_like_definition(Problem(384, 48, rows, twelve_bit));
    expect_like_definition(Problem(256, 96, 64, twelve_bit, 30.0f));  // gates far from 0
  }
}

TEST_P(GatedProduct, DoesNotDependOnThreads) {
  const Problem problem(256, 100, 700, true);
  const int before = threads();
  set_threads(1);
  const auto alone = problem.run(*kernels_);
  set_threads(5);
  const auto together = problem.run(*kernels_);
  set_threads(before);
  EXPECT_EQ(alone, together);
}

TEST_P(GatedProduct, PassesOnWhatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Problem problem(128, 64, 66, true);
    problem.x[65 * 64 + 3] = bad;
    const auto actual = problem.run(*kernels_);
    for (std::int64_t r = 0; r < 66; ++r) {
      const bool all = std::all_of(actual.begin() + r * 128, actual.begin() + (r + 1) * 128,
                                   [](float value) { return std::isfinite(value); });
      EXPECT_EQ(all, r != 65);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, GatedProduct, ::testing::Bool(),
                         [](const auto& of) { return std::string(of.param ? "Amx" : "Software"); });

TEST(GatedProductModel, EqualsTheProcessorBitByBit) {
  if (hardware() == nullptr || !has_fast_bfloat16()) GTEST_SKIP() << "this processor has no AMX";
  const Problem problem(256, 700, 100, true);
  EXPECT_EQ(problem.run(*software()), problem.run(*hardware()));
}

TEST(GatedProductChoice, LeavesOtherProductsAlone) {
  if (!has_fast_bfloat16()) GTEST_SKIP() << "products of bfloat16 are not packed for tiles here";
  const bool tiles = isa() == Isa::amx || isa() == Isa::amx_software;
  const Problem fitting(128, 64, 1, false), narrow(64, 64, 1, false);
  EXPECT_EQ(gated_kernels_for(fitting.product, Activation::silu, 64) != nullptr, tiles);
  EXPECT_EQ(gated_kernels_for(fitting.product, Activation::silu, 63), nullptr);
  EXPECT_EQ(gated_kernels_for(fitting.product, Activation::gelu_tanh, 64), nullptr);
  EXPECT_EQ(gated_kernels_for(narrow.product, Activation::silu, 64), nullptr);
}

}  // namespace
}  // namespace kvpress
