#include "ops/product/few_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "ops/exact_sum.h"
#include "ops/random.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using testing::exact_sum;
using testing::random_values;
using testing::rounded_to_bf16;

/// Weights [out, in], packed as PackedWeights says, from the rows they are compared with.
struct Problem {
  bool is_bf16;
  std::int64_t out, in;
  std::vector<float> weight;  // [out, in]
  AlignedVector<std::byte> bytes;
  PackedWeights packed;

  Problem(bool is_bf16_, std::int64_t out_, std::int64_t in_, std::int64_t width)
      : is_bf16(is_bf16_), out(out_), in(in_), weight(rounded_to_bf16(random_values(out_ * in_, 1))) {
    const std::int64_t pair = is_bf16 ? 2 : 1;
    const std::int64_t padded_in = (in + 31) / 32 * 32;
    const std::int64_t n = width == 0 ? out * in : (out + width - 1) / width * width * padded_in;
    std::vector<float> arranged(static_cast<std::size_t>(n), 0.0f);
    for (std::int64_t c = 0; c < out; ++c) {
      for (std::int64_t k = 0; k < in; ++k) {
        const std::int64_t at =
            width == 0 ? c * in + k
                       : c / width * width * padded_in + k / pair * pair * width + c % width * pair + k % pair;
        arranged[static_cast<std::size_t>(at)] = weight[static_cast<std::size_t>(c * in + k)];
      }
    }
    const DType type = is_bf16 ? DType::bf16 : DType::f32;
    bytes.resize(arranged.size() * size_of(type));
    from_float(arranged.data(), bytes.data(), type, n);
    packed = {bytes.data(), out, in, width, width * padded_in};
  }

  FewRowsKernel kernel() const { return is_bf16 ? bf16_few_rows_kernel() : float_few_rows_kernel(packed); }

  /// Each way of taking the columns, compared with sums in double. The tolerance is that of sums in float32.
  void expect_right(std::int64_t n_rows) const {
    SCOPED_TRACE(::testing::Message() << (is_bf16 ? "bf16 " : "f32 ") << out << " x " << in << ", panels of "
                                      << packed.width << ", " << n_rows << " rows");
    const auto x = rounded_to_bf16(random_values(n_rows * in, 2));
    const DType type = is_bf16 ? DType::bf16 : DType::f32;
    AlignedVector<std::byte> input(x.size() * size_of(type));
    from_float(x.data(), input.data(), type, n_rows * in);
    const std::int64_t n_vectors = (out + kColumns - 1) / kColumns;
    const std::int64_t panel = packed.width == 0 ? n_vectors : packed.width / kColumns;
    const std::int64_t stride = kFewVectors * kColumns;
    for (std::int64_t first = 0; first < n_vectors; ++first) {
      for (std::int64_t n = 1; n <= std::min({kFewVectors, panel - first % panel, n_vectors - first}); ++n) {
        std::vector<float> fast(static_cast<std::size_t>(n_rows * stride), -1.0f);
        auto plain = fast;
        kernel()(packed, input.data(), n_rows, first, n, fast.data(), stride);
        few_rows_plain(packed, is_bf16, input.data(), n_rows, first, n, plain.data(), stride);
        for (std::int64_t r = 0; r < n_rows; ++r) {
          for (std::int64_t c = first * kColumns; c < std::min(out, (first + n) * kColumns); ++c) {
            const auto [expected, size] = exact_sum(x.data() + r * in, weight.data() + c * in, in);
            const auto at = static_cast<std::size_t>(r * stride + c - first * kColumns);
            ASSERT_NEAR(fast[at], expected, 1e-6 * size + 1e-30) << "row " << r << ", column " << c;
            ASSERT_NEAR(plain[at], expected, 1e-5 * size + 1e-30) << "row " << r << ", column " << c;
          }
        }
      }
    }
  }
};

TEST(FewRows, KernelsEqualSumsInDouble) {
  for (const bool is_bf16 : {false, true}) {
    if (is_bf16 && bf16_few_rows_kernel() == nullptr) continue;
    for (const std::int64_t width : {0, 16, 32, 48, 64}) {
      if (is_bf16 && width == 0) continue;
      for (const auto& [out, in] : {std::pair{1, 1}, {16, 2}, {64, 3}, {129, 64}, {70, 31}, {200, 575}}) {
        const Problem problem(is_bf16, out, in, width);
        for (std::int64_t n_rows = 1; n_rows <= kProductRows; ++n_rows) problem.expect_right(n_rows);
      }
    }
  }
}

/// Columns beyond the last, and the rest of y, stay as they are.
TEST(FewRows, WritesItsColumnsOnly) {
  for (const std::int64_t width : {0, 64}) {
    const Problem problem(false, 37, 20, width);
    const auto x = random_values(3 * 20, 5);
    std::vector<float> y(4 * 37, 7.0f);
    few_rows(problem.packed, problem.kernel(), {const_cast<float*>(x.data()), DType::f32, 3, 20}, {}, Activation::none,
             false, {y.data(), DType::f32, 3, 37});
    for (std::size_t i = 0; i < 3 * 37; ++i) EXPECT_NE(y[i], 7.0f) << i;
    for (std::size_t i = 3 * 37; i < y.size(); ++i) EXPECT_EQ(y[i], 7.0f) << i;
  }
}

/// However many threads share the columns, and whatever rows come along, a row's results are the same bits.
TEST(FewRows, NotChangedByThreads) {
  const int before = threads();
  for (const bool is_bf16 : {false, true}) {
    if (is_bf16 && bf16_few_rows_kernel() == nullptr) continue;
    for (const std::int64_t width : {0, 64}) {
      if (is_bf16 && width == 0) continue;
      const Problem problem(is_bf16, 1000, 300, width);
      const DType type = is_bf16 ? DType::bf16 : DType::f32;
      const auto values = random_values(2 * 300, 3);
      AlignedVector<std::byte> x(values.size() * size_of(type));
      from_float(values.data(), x.data(), type, 2 * 300);
      std::vector<float> first;
      for (const int n : {1, 2, 3, 7}) {
        set_threads(n);
        std::vector<float> y(2000);
        few_rows(problem.packed, problem.kernel(), {x.data(), type, 2, 300}, {}, Activation::silu, false,
                 {y.data(), DType::f32, 2, 1000});
        if (first.empty()) first = y;
        EXPECT_EQ(first, y) << n << " threads";
      }
    }
  }
  set_threads(before);
}

}  // namespace
}  // namespace kvpress
