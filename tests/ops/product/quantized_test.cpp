#include "ops/product/quantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/random.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using testing::random_values;
using testing::rounded_to_bf16;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Random codes over their whole range with scales and mins that float16 holds, and what they are as weights.
struct Problem {
  QuantFormat format;
  std::int64_t out, in, padded;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales, mins;
  std::vector<float> weight;  // [out, in]

  Problem(const QuantFormat& format_, std::int64_t out_, std::int64_t in_)
      : format(format_), out(out_), in(in_), padded((in_ + 31) / 32 * 32) {
    std::mt19937 random(7);
    const std::int64_t n_scales = padded / format.scale_inputs;
    const auto half = [](float x) { return to_float(from_float<f16>(x)); };
    for (std::int64_t i = 0; i < out * padded; ++i) {
      codes.push_back(static_cast<std::uint8_t>(random() % (1u << format.bits)));
    }
    for (std::int64_t i = 0; i < out * n_scales; ++i) {
      scales.push_back(half(0.001f * static_cast<float>(random() % 1000) - 0.3f));
      mins.push_back(half(0.01f * static_cast<float>(random() % 1000) - 5.0f));
    }
    for (std::int64_t c = 0; c < out; ++c) {
      for (std::int64_t k = 0; k < in; ++k) {
        const std::int64_t s = c * n_scales + k / format.scale_inputs;
        const float value = static_cast<float>(codes[at(c * padded + k)] - format.zero) * scales[at(s)];
        weight.push_back(format.has_min ? value + mins[at(s)] : value);
      }
    }
  }

  QuantRows rows() const {
    return [this](std::int64_t first, std::int64_t n, const QuantParts& to) {
      const std::int64_t n_scales = padded / format.scale_inputs;
      std::copy_n(&codes[at(first * padded)], n * padded, to.codes);
      std::copy_n(&scales[at(first * n_scales)], n * n_scales, to.scales);
      if (format.has_min) std::copy_n(&mins[at(first * n_scales)], n * n_scales, to.mins);
    };
  }

  QuantizedWeights packed() const {
    PageArena arena(0);
    return {out, in, format, rows(), arena};
  }
};

std::shared_ptr<const QuantizedWeights> packed_weights(std::int64_t out, std::int64_t in, const QuantFormat& format,
                                                       const QuantRows& rows) {
  PageArena arena(0);
  return std::make_shared<const QuantizedWeights>(out, in, format, rows, arena);
}

std::ostream& operator<<(std::ostream& out, const Problem& it) {
  return out << it.format.bits << " bits, scales of " << it.format.scale_inputs << ", zero " << it.format.zero
             << ", min " << it.format.has_min << ", " << it.out << " x " << it.in;
}

const std::vector<QuantFormat> kFormats = {{8, 32, 128, false}, {8, 32, 0, true},  {8, 32, 16, false},
                                           {8, 16, 32, false},  {8, 16, 0, true},  {4, 32, 8, false},
                                           {4, 32, 0, true},    {4, 16, 4, false}, {4, 16, 0, true}};

struct Inputs {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  Inputs(const std::vector<float>& x, std::int64_t n_rows, std::int64_t in) {
    const std::int64_t n_blocks = (in + 31) / 32;
    codes.resize(at(n_rows * n_blocks * 32));
    scales.resize(at(n_rows * n_blocks));
    sums.resize(at(n_rows * n_blocks * 2));
    for (std::int64_t r = 0; r < n_rows; ++r) {
      quantize_inputs(&x[at(r * in)], in, n_blocks, &codes[at(r * n_blocks * 32)], &scales[at(r * n_blocks)],
                      &sums[at(r * n_blocks * 2)]);
    }
  }
  QuantizedInputs view() const { return {codes.data(), scales.data(), sums.data()}; }
};

TEST(Quantized, InputsAreRoundedToTheNearestCode) {
  std::vector<float> x = random_values(75, 3, 4.0f);
  x[40] = 20;
  for (std::size_t i = 64; i < 75; ++i) x[i] = 0;
  const Inputs inputs(x, 1, 75);
  EXPECT_EQ(inputs.codes[40], 127);
  EXPECT_EQ(inputs.scales[2], 0.0f);
  for (std::size_t i = 0; i < 96; ++i) {
    const float value = static_cast<float>(inputs.codes[i]) * inputs.scales[i / 32];
    EXPECT_LE(std::fabs(value - (i < 75 ? x[i] : 0.0f)), 0.5001f * inputs.scales[i / 32]) << i;
  }
  for (std::size_t i = 0; i < 6; ++i) {
    int sum = 0;
    for (std::size_t j = 0; j < 16; ++j) sum += inputs.codes[16 * i + j];
    EXPECT_EQ(inputs.sums[i], sum);
  }
}

/// Every kernel that this processor runs, and the plain one, against sums in double of the very same codes. Extreme
/// inputs too: those are where 16-bit intermediate sums would overflow.
TEST(Quantized, KernelsEqualSumsInDouble) {
  for (const QuantFormat& format : kFormats) {
    for (const auto& [out, in] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {16, 32}, {37, 100}, {80, 576}}) {
      const Problem problem(format, out, in);
      const QuantizedWeights weights = problem.packed();
      const std::int64_t n_panels = (out + 15) / 16;
      for (std::int64_t n_rows = 1; n_rows <= 4; ++n_rows) {
        auto x = random_values(n_rows * in, 5);
        for (std::size_t i = 0; i < x.size() / 2; ++i) x[i] = i % 3 == 0 ? -2.5f : 2.5f;
        const Inputs inputs(x, n_rows, in);
        const std::int64_t first = n_panels > 1 ? 1 : 0;
        const std::int64_t n = std::min<std::int64_t>(4, n_panels - first);
        for (const QuantizedKernel kernel : quantized_kernels()) {
          std::vector<float> sums(at(n_rows * 64));
          kernel(weights.panels(), inputs.view(), n_rows, first, n, sums.data(), 64);
          for (std::int64_t r = 0; r < n_rows; ++r) {
            for (std::int64_t c = first * 16; c < std::min(out, (first + n) * 16); ++c) {
              double expected = 0;
              double size = 0;
              for (std::int64_t k = 0; k < in; ++k) {
                const double input =
                    double{inputs.scales[at((r * problem.padded + k) / 32)]} * inputs.codes[at(r * problem.padded + k)];
                expected += input * problem.weight[at(c * in + k)];
                size += std::fabs(input * problem.weight[at(c * in + k)]);
              }
              ASSERT_NEAR(sums[at(r * 64 + c - first * 16)], expected, 2e-5 * size + 1e-6)
                  << problem << ", row " << r << " of " << n_rows << ", column " << c;
            }
          }
        }
      }
    }
  }
}

TEST(Quantized, DecodesExactly) {
  for (const QuantFormat& format : kFormats) {
    const Problem problem(format, 70, 45);
    const QuantizedWeights weights = problem.packed();
    for (const auto& [type, pair] : {std::pair{DType::f32, 1}, {DType::bf16, 1}, {DType::bf16, 2}}) {
      const std::int64_t width = 48;
      const std::int64_t in = 46;  // one more than there are
      AlignedVector<std::byte> memory(at(2 * width * in) * size_of(type), std::byte{0x55});
      decode_panels(weights.panels(), 0, 5, {memory.data(), type, in, width, width * in, pair});
      AlignedVector<float> values(at(2 * width * in));
      to_float(memory.data(), type, values.data(), 2 * width * in);
      for (std::int64_t c = 0; c < 70; ++c) {
        for (std::int64_t k = 0; k < in; ++k) {
          const float exact = k < 45 ? problem.weight[at(c * 45 + k)] : 0.0f;
          const float expected = type == DType::bf16 ? to_float(from_float<bf16>(exact)) : exact;
          const std::int64_t where = c / width * width * in + k / pair * pair * width + c % width * pair + k % pair;
          ASSERT_EQ(values[at(where)], expected) << problem << ", column " << c << ", input " << k;
        }
      }
    }
  }
}

/// Few rows: what 8-bit inputs cost at most, half a step of each. Many rows: as exact as any product.
TEST(Quantized, LinearEqualsSumsInDouble) {
  for (const DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !has_fast_bfloat16()) continue;
    for (const QuantFormat& format : {kFormats[0], kFormats[6], kFormats[3]}) {
      for (const auto& [out, in] : {std::pair<std::int64_t, std::int64_t>{3, 5}, {500, 96}, {1030, 1600}}) {
        const Problem problem(format, out, in);
        const auto bias = random_values(out, 2);
        const Linear linear(packed_weights(out, in, format, problem.rows()), bias, type);
        EXPECT_LE(linear.bytes(), at((out + 15) / 16 * 16 * problem.padded * (format.bits == 8 ? 10 : 6) / 8));
        for (const std::int64_t rows : {1, 3, 4, 5, 70}) {
          const auto x = rounded_to_bf16(random_values(rows * in, 3));
          AlignedVector<std::byte> input(x.size() * size_of(type));
          from_float(x.data(), input.data(), type, rows * in);
          auto y = random_values(rows * out, 4);
          const auto before = y;
          linear({input.data(), type, rows, in}, {y.data(), DType::f32, rows, out}, true);
          const bool few = rows <= Linear::kCompactRows;
          EXPECT_EQ(linear.kernel(rows) == "quantized", few);
          const Inputs inputs(x, rows, in);
          const std::int64_t step = rows > 4 ? 23 : 1;
          for (std::int64_t r = 0; r < rows; r += step) {
            for (std::int64_t c = 0; c < out; ++c) {
              double expected = double{before[at(r * out + c)]} + bias[at(c)];
              double size = 1;
              double allowed = 0;
              for (std::int64_t k = 0; k < in; ++k) {
                float weight = problem.weight[at(c * in + k)];
                if (!few && type == DType::bf16) weight = to_float(from_float<bf16>(weight));
                expected += double{x[at(r * in + k)]} * weight;
                size += std::fabs(double{x[at(r * in + k)]} * weight);
                allowed += 0.5001 * inputs.scales[at((r * problem.padded + k) / 32)] * std::fabs(weight);
              }
              ASSERT_NEAR(y[at(r * out + c)], expected, 2e-5 * size + (few ? allowed : 0))
                  << problem << ", " << to_string(type) << ", row " << r << " of " << rows << ", column " << c;
            }
          }
        }
      }
    }
  }
}

TEST(Quantized, NotChangedByThreads) {
  const int before = threads();
  const Problem problem(kInt4Format, 1000, 300);
  const Linear linear(packed_weights(1000, 300, kInt4Format, problem.rows()), {}, DType::f32);
  const auto x = random_values(2 * 300, 3);
  std::vector<float> first;
  for (const int n : {1, 2, 3, 7}) {
    set_threads(n);
    std::vector<float> y(2000);
    linear({const_cast<float*>(x.data()), DType::f32, 2, 300}, {y.data(), DType::f32, 2, 1000});
    if (first.empty()) first = y;
    EXPECT_EQ(first, y) << n << " threads";
  }
  set_threads(before);
}

TEST(Quantized, RefusesScalesBeyondFloat16) {
  for (const float weight : {1e9f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> row(32, weight);
    row[3] = 0;
    const QuantRows rows = [&](std::int64_t, std::int64_t n, const QuantParts& to) {
      for (std::int64_t r = 0; r < n; ++r)
        quantize_row(row.data(), 32, kInt8Format, {to.codes + 32 * r, to.scales + r});
    };
    EXPECT_ANY_THROW(packed_weights(4, 32, kInt8Format, rows)) << weight;
  }
}

}  // namespace
}  // namespace kvpress
