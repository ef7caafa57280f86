#include "ops/product/twelve_bit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/exact_sum.h"
#include "ops/isa.h"
#include "ops/random.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using testing::exact_sum;
using testing::random_values;
using testing::rounded_to_bf16;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Weights that bfloat16 holds, about normal, with zeros and others far from them strewn in.
struct Problem {
  std::int64_t out, in;
  std::vector<float> weight;  // [out, in]

  Problem(std::int64_t out_, std::int64_t in_, std::vector<float> strays = {1e-12f, -3e7f, 1e-39f, -0.0f, 0.0f})
      : out(out_), in(in_), weight(random_values(out_ * in_, 1, 0.05f)) {
    for (std::size_t i = 0; i < strays.size(); ++i) {
      for (std::size_t to = 1009 * (i + 1); to < weight.size(); to += 5003) weight[to] = strays[i];
    }
    weight = rounded_to_bf16(weight);
  }

  WeightRows rows() const {
    return
        [this](std::int64_t first, std::int64_t n, float* to) { std::copy_n(weight.data() + first * in, n * in, to); };
  }
  std::shared_ptr<const TwelveBitWeights> packed() const {
    PageArena arena;
    const auto weights = TwelveBitWeights::pack(out, in, rows(), arena);
    if (!weights) return nullptr;
    return std::make_shared<const TwelveBitWeights>(*weights);
  }
};

constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {{1, 1}, {16, 2}, {64, 3}, {129, 64}, {70, 31}, {200, 575}};

/// Plain kernels and those of this processor.
std::vector<const TwelveBitKernels*> all_kernels() {
  std::vector<const TwelveBitKernels*> found = {&plain_twelve_bit_kernels()};
  if (TwelveBitWeights::fast()) found.push_back(&twelve_bit_kernels());
  return found;
}

bool same_bits(float a, float b) { return a == b && std::signbit(a) == std::signbit(b); }

TEST(TwelveBit, NothingIsLost) {
  for (const auto& [out, in] : kShapes) {
    const Problem problem(out, in);
    const auto weights = problem.packed();
    ASSERT_NE(weights, nullptr);
    const std::int64_t padded_in = (in + 1) / 2 * 2 + 2;
    const std::int64_t n_vectors = (out + 15) / 16;
    for (const auto& [width, pair] : {std::pair{16, 2}, {48, 2}, {64, 2}, {64, 1}}) {
      DecodedPanels to{nullptr, DType::bf16, padded_in, width, width * padded_in, pair};
      std::vector<bf16> decoded(at((n_vectors * 16 + width - 1) / width * to.panel_stride), from_float<bf16>(9.0f));
      to.data = decoded.data();
      weights->decode(0, n_vectors, to);
      for (std::int64_t c = 0; c < n_vectors * 16; ++c) {
        for (std::int64_t k = 0; k < padded_in; ++k) {
          const float expected = c < out && k < in ? problem.weight[at(c * in + k)] : 0.0f;
          const float actual = to_float(decoded[at(to.at(c, k))]);
          ASSERT_PRED2(same_bits, actual, expected) << out << " x " << in << ", column " << c << ", input " << k;
        }
      }
    }
  }
}

TEST(TwelveBit, DecodesFromAnyFourVectorsOn) {
  const Problem problem(200, 30);
  const auto weights = problem.packed();
  std::vector<bf16> decoded(at(3 * 16 * 30));
  const DecodedPanels to{decoded.data(), DType::bf16, 30, 48, 0, 2};
  weights->decode(8, 3, to);
  for (std::int64_t c = 128; c < 128 + 48; ++c) {
    for (std::int64_t k = 0; k < 30; ++k) {
      ASSERT_EQ(to_float(decoded[at(to.at(c - 128, k))]), problem.weight[at(c * 30 + k)]) << c << ", " << k;
    }
  }
}

TEST(TwelveBit, TakesTwelveBitsAndTheStrays) {
  const Problem problem(128, 1000);
  const auto weights = problem.packed();
  std::size_t n_strays = 0;
  for (const std::int64_t panel : {0, 1}) n_strays += weights->strays(panel).size();
  std::size_t expected = 0;
  for (const float w : problem.weight) {
    if (w != 0 && std::fpclassify(w) != FP_SUBNORMAL && (std::fabs(w) < 1e-6f || std::fabs(w) > 1)) ++expected;
  }
  EXPECT_GE(n_strays, expected);
  EXPECT_LE(n_strays, expected + 128000 / 1000);
  EXPECT_EQ(weights->bytes(), 128 * 1000 * 3 / 2 + n_strays * sizeof(StrayWeight));
}

/// All kernels write the same packed bytes and decode the same weights.
TEST(TwelveBit, KernelsAgreeWithThePlainOnes) {
  for (const auto& [out, in] : kShapes) {
    const Problem problem(out, in);
    const auto weights = problem.packed();
    const TwelveBitPanels& panels = weights->panels();
    const std::int64_t stride = 2 * panels.n_pairs;
    std::vector<std::uint16_t> rows(at(64 * stride));
    for (std::int64_t r = 0; r < std::min<std::int64_t>(64, out); ++r) {
      from_float(problem.weight.data() + r * in, rows.data() + r * stride, DType::bf16, in);
    }
    const auto x = rounded_to_bf16(random_values(4 * in, 2));
    std::vector<std::uint16_t> inputs(x.size());
    from_float(x.data(), inputs.data(), DType::bf16, 4 * in);
    std::vector<std::uint8_t> first_packed;
    for (const TwelveBitKernels* kernels : all_kernels()) {
      std::vector<std::uint8_t> packed(at(panels.n_pairs * kTwelveBitBytes), 0x55);
      kernels->pack(rows.data(), stride, panels, packed.data());
      if (first_packed.empty()) first_packed = packed;
      EXPECT_EQ(packed, first_packed);
      std::vector<std::uint16_t> decoded(at(64 * stride));
      std::uint16_t* to[] = {decoded.data(), decoded.data() + 32, decoded.data() + 64, decoded.data() + 96};
      kernels->decode(panels, 0, 4, to, 128);
      std::vector<float> values(at(64 * in), 0.0f);  // those with codes
      for (std::int64_t c = 0; c < 64; ++c) {
        for (std::int64_t k = 0; k < in; ++k) {
          values[at(c * in + k)] = to_float(bf16{decoded[at(k / 2 * 128 + 2 * c + k % 2)]});
        }
      }
      for (std::int64_t n_rows = 1; n_rows <= 4; ++n_rows) {
        std::vector<float> sums(at(n_rows * 64));
        kernels->multiply(panels, inputs.data(), n_rows, 0, sums.data(), 64);
        for (std::int64_t r = 0; r < n_rows; ++r) {
          for (std::int64_t c = 0; c < std::min<std::int64_t>(64, out); ++c) {
            const auto [expected, size] = exact_sum(x.data() + r * in, values.data() + c * in, in);
            ASSERT_NEAR(sums[at(r * 64 + c)], expected, 1e-5 * size + 1e-30) << r << ", " << c;
          }
        }
      }
    }
  }
}

/// Every number of rows, whole and by columns, with all that a product may have.
TEST(TwelveBit, ProductsEqualThoseOfTheSameWeightsInTwoBytes) {
  if (!has_fast_bfloat16()) GTEST_SKIP() << "no bfloat16 products here";
  for (const auto& [out, in] : {std::pair<std::int64_t, std::int64_t>{70, 31}, {1536, 576}, {5000, 257}}) {
    const Problem problem(out, in, {1e-12f, 3.0f, 0.0f});
    const auto bias = random_values(out, 3);
    const auto weights = problem.packed();
    const Linear exact(out, in, problem.rows(), bias, DType::bf16, Activation::silu);
    const Linear compact(weights, bias, DType::bf16, Activation::silu);
    const Linear exact_sum(out, in, problem.rows(), bias, DType::bf16);
    const Linear compact_sum(weights, bias, DType::bf16);
    EXPECT_EQ(compact.kernel(1), "twelve_bit");
    const float tolerance = 1e-5f * static_cast<float>(in);
    for (const std::int64_t n : {1, 2, 3, 4, 5, 64, 300}) {
      const auto x = rounded_to_bf16(random_values(n * in, 4));
      std::vector<bf16> bits(x.size());
      from_float(x.data(), bits.data(), DType::bf16, n * in);
      const Activations input{bits.data(), DType::bf16, n, in};
      auto expected = random_values(n * out, 5);
      auto actual = expected;
      exact_sum(input, {expected.data(), DType::f32, n, out}, true);
      compact_sum(input, {actual.data(), DType::f32, n, out}, true);
      for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << n << ", " << i;

      exact(input, {expected.data(), DType::f32, n, out});
      for (std::int64_t first = 0; first < out; first += compact.column_block()) {
        const std::int64_t columns = std::min(compact.column_block(), out - first);
        std::vector<float> part(at(n * columns));
        compact.columns(input, first, {part.data(), DType::f32, n, columns});
        for (std::int64_t i = 0; i < n * columns; ++i) {
          ASSERT_NEAR(part[at(i)], expected[at(i / columns * out + first + i % columns)], tolerance) << n << ", " << i;
        }
      }
    }
  }
}

TEST(TwelveBit, NotChangedByThreads) {
  if (!has_fast_bfloat16()) GTEST_SKIP() << "no bfloat16 products here";
  const Problem problem(1000, 300);
  const Linear linear(problem.packed(), {}, DType::bf16);
  std::vector<bf16> x(600);
  from_float(random_values(600, 3).data(), x.data(), DType::bf16, 600);
  std::vector<float> first;
  for (const int n : {1, 2, 3, 7}) {
    set_threads(n);
    std::vector<float> y(2000);
    linear({x.data(), DType::bf16, 2, 300}, {y.data(), DType::f32, 2, 1000});
    if (first.empty()) first = y;
    EXPECT_EQ(first, y) << n << " threads";
  }
  set_threads(0);
}

/// Infinite weights and those that are no numbers have exponent 255, one more than any code can be.
TEST(TwelveBit, KeepsWeightsThatAreNoNumbers) {
  if (!has_fast_bfloat16()) GTEST_SKIP() << "no bfloat16 products here";
  Problem problem(64, 1000);
  problem.weight[5] = std::numeric_limits<float>::infinity();
  problem.weight[2000] = std::numeric_limits<float>::quiet_NaN();
  const Linear linear(problem.packed(), {}, DType::bf16);
  std::vector<bf16> x(1000, from_float<bf16>(1.0f));
  std::vector<float> y(64);
  linear({x.data(), DType::bf16, 1, 1000}, {y.data(), DType::f32, 1, 64});
  EXPECT_EQ(y[0], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isfinite(y[1]));
  EXPECT_TRUE(std::isnan(y[2]));
}

TEST(TwelveBit, RefusesWeightsOfTooManyExponents) {
  Problem problem(64, 1000);
  for (std::size_t i = 0; i < problem.weight.size(); ++i) {
    problem.weight[i] = std::ldexp(1.0f, static_cast<int>(i % 40) - 20);
  }
  EXPECT_EQ(problem.packed(), nullptr);
  for (float& w : problem.weight) w = 0;
  EXPECT_NE(problem.packed(), nullptr);
}

}  // namespace
}  // namespace kvpress
