#include "press/kit/normals.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace kvpress {
namespace {

TEST(Normals, AreThoseOfNumpy) {
  // numpy.random.RandomState(104729).standard_normal(7)
  const double first[] = {0.09927916281801945, 0.36292129359969005, -0.18203762651607552, -0.4576728100059116,
                          0.7379099435279235,  1.2289863907095357,  -1.715793508142191};
  std::vector<float> few(7);
  fill_standard_normals(104729, few);
  for (std::size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i], static_cast<float>(first[i]));

  std::vector<float> many(100001);
  fill_standard_normals(0, many);
  EXPECT_EQ(many.back(), -0.48379749195754734f);
  EXPECT_NEAR(std::accumulate(many.begin(), many.end(), 0.0), 157.18625332057633, 1e-3);
}

}  // namespace
}  // namespace kvpress
