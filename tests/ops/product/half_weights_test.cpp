#include "ops/product/half_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "ops/exact_sum.h"
#include "ops/product/few_rows.h"
#include "ops/random.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using testing::exact_sum;
using testing::random_values;

/// Numbers as the type holds them.
std::vector<float> rounded(std::vector<float> values, DType type) {
  std::vector<std::byte> bytes(values.size() * size_of(type));
  from_float(values.data(), bytes.data(), type, static_cast<std::int64_t>(values.size()));
  to_float(bytes.data(), type, values.data(), static_cast<std::int64_t>(values.size()));
  return values;
}

struct Problem {
  std::int64_t out, in;
  DType type;
  std::vector<float> weight;  // [out, in], before it is rounded

  Problem(std::int64_t out_, std::int64_t in_, DType type_)
      : out(out_), in(in_), type(type_), weight(random_values(out_ * in_, 1)) {}

  WeightRows rows() const {
    return
        [this](std::int64_t first, std::int64_t n, float* to) { std::copy_n(weight.data() + first * in, n * in, to); };
  }
};

class HalfWeightsTest : public ::testing::TestWithParam<DType> {};

TEST_P(HalfWeightsTest, AFewRowsAreSumsOfTheRoundedWeights) {
  for (const auto& [out, in] : {std::pair{1, 1}, {16, 2}, {64, 3}, {129, 64}, {70, 31}, {200, 575}}) {
    const Problem problem(out, in, GetParam());
    PageArena arena;
    const HalfWeights weights(out, in, GetParam(), problem.rows(), arena);
    EXPECT_EQ(weights.bytes(), static_cast<std::size_t>((out + 31) / 32 * 32 * in * 2));
    const auto weight = rounded(problem.weight, GetParam());
    for (std::int64_t n_rows = 1; n_rows <= 6; ++n_rows) {
      const auto x = random_values(n_rows * in, 2);
      std::vector<float> y(static_cast<std::size_t>(n_rows * out));
      few_rows(weights.panels(), half_few_rows_kernel(GetParam()),
               {const_cast<float*>(x.data()), DType::f32, n_rows, in}, {}, Activation::none, false,
               {y.data(), DType::f32, n_rows, out});
      for (std::int64_t r = 0; r < n_rows; ++r) {
        for (std::int64_t c = 0; c < out; ++c) {
          const auto [expected, size] = exact_sum(x.data() + r * in, weight.data() + c * in, in);
          ASSERT_NEAR(y[static_cast<std::size_t>(r * out + c)], expected, 1e-6 * size + 1e-30) << r << ", " << c;
        }
      }
    }
  }
}

TEST_P(HalfWeightsTest, DecodeGivesTheRoundedWeightsAndZerosAround) {
  for (const auto& [out, in] : {std::pair{1, 1}, {64, 3}, {150, 33}}) {
    const Problem problem(out, in, GetParam());
    PageArena arena;
    const HalfWeights weights(out, in, GetParam(), problem.rows(), arena);
    const auto weight = rounded(problem.weight, GetParam());
    const std::int64_t padded_in = in + 3;
    const std::int64_t n_vectors = (out + kColumns - 1) / kColumns;
    for (const std::int64_t width : {16, 48, 64}) {
      const std::int64_t stride = width * padded_in;
      std::vector<float> decoded(static_cast<std::size_t>((n_vectors * kColumns + width - 1) / width * stride), 9.0f);
      weights.decode(0, n_vectors, {decoded.data(), DType::f32, padded_in, width, stride, 1});
      for (std::int64_t c = 0; c < n_vectors * kColumns; ++c) {
        for (std::int64_t k = 0; k < padded_in; ++k) {
          const float expected = c < out && k < in ? weight[static_cast<std::size_t>(c * in + k)] : 0.0f;
          ASSERT_EQ(decoded[static_cast<std::size_t>(c / width * stride + k * width + c % width)], expected)
              << c << ", " << k;
        }
      }
    }
    // From any vector of columns on.
    std::vector<float> last(static_cast<std::size_t>(kColumns * in));
    weights.decode(n_vectors - 1, 1, {last.data(), DType::f32, in, kColumns, 0, 1});
    const std::int64_t first = (n_vectors - 1) * kColumns;
    for (std::int64_t c = first; c < out; ++c) {
      EXPECT_EQ(last[static_cast<std::size_t>(c - first)], weight[static_cast<std::size_t>(c * in)]);
    }
  }
}

/// Every number of rows, whole and by columns, with all that a product may have: as weights held in float32.
TEST_P(HalfWeightsTest, ProductsEqualThoseOfTheSameWeightsInFloat32) {
  for (const auto& [out, in] : {std::pair{70, 31}, {1536, 576}, {5000, 257}}) {
    Problem problem(out, in, GetParam());
    problem.weight = rounded(problem.weight, GetParam());
    const auto bias = random_values(out, 3);
    const Linear exact(out, in, problem.rows(), bias, DType::f32, Activation::silu);
    PageArena arena;
    const auto weights = std::make_shared<HalfWeights>(out, in, GetParam(), problem.rows(), arena);
    const Linear half(weights, bias, DType::f32, Activation::silu);
    const Linear exact_sum(out, in, problem.rows(), bias, DType::f32);
    const Linear half_sum(weights, bias, DType::f32);
    EXPECT_EQ(half.type(), DType::f32);
    EXPECT_NE(half.kernel(1).find("few_rows"), std::string_view::npos);
    const float tolerance = 1e-5f * static_cast<float>(in);
    for (const std::int64_t n : {1, 4, 5, 64, 300}) {
      auto x = random_values(n * in, 4);
      const Activations input{x.data(), DType::f32, n, in};
      auto expected = random_values(n * out, 5);
      auto actual = expected;
      exact_sum(input, {expected.data(), DType::f32, n, out}, true);
      half_sum(input, {actual.data(), DType::f32, n, out}, true);
      for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << n << ", " << i;

      exact(input, {expected.data(), DType::f32, n, out});
      for (std::int64_t first = 0; first < out; first += half.column_block()) {
        const std::int64_t columns = std::min(half.column_block(), out - first);
        std::vector<float> part(static_cast<std::size_t>(n * columns));
        half.columns(input, first, {part.data(), DType::f32, n, columns});
        for (std::int64_t i = 0; i < n * columns; ++i) {
          const auto at = static_cast<std::size_t>(i / columns * out + first + i % columns);
          ASSERT_NEAR(part[static_cast<std::size_t>(i)], expected[at], tolerance) << n << ", " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(HalfWeights, HalfWeightsTest, ::testing::Values(DType::bf16, DType::f16),
                         [](const auto& it) { return std::string(to_string(it.param)); });

}  // namespace
}  // namespace kvpress
