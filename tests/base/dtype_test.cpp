#include "kvpress/base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

TEST(DType, NamesRoundTrip) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(parse_dtype(to_string(type), "--dtype"), type);
  EXPECT_THROW(parse_dtype("int3", "--dtype"), UsageError);
}

TEST(DType, EveryHalfSurvivesTheWayThroughFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 half{static_cast<std::uint16_t>(bits)};
    const float value = to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(from_float<f16>(value))));
    } else {
      EXPECT_EQ(from_float<f16>(value).bits, half.bits) << bits;
    }
  }
}

TEST(DType, RoundsToNearestEven) {
  EXPECT_EQ(from_float<bf16>(1.00390625f).bits, 0x3f80);  // half way between 1 and the next: the even one
  EXPECT_EQ(from_float<bf16>(1.01171875f).bits, 0x3f82);
  EXPECT_EQ(from_float<f16>(1.00048828125f).bits, 0x3c00);
  EXPECT_EQ(to_float(from_float<f16>(65504.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(to_float(from_float<f16>(65520.0f))));
  EXPECT_EQ(to_float(from_float<f16>(5.9604645e-8f)), 5.9604645e-8f);  // the smallest subnormal
  EXPECT_TRUE(std::isnan(to_float(from_float<bf16>(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace kvpress
