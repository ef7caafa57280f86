// A product's element in double, to which the kernels' sums in float32 are compared.
#pragma once

#include <cmath>
#include <cstdint>

namespace kvpress::testing {

struct ExactSum {
  double value = 0;
  double size = 0;  ///< of all terms, what rounding is relative to
};

/// x . weight over n inputs.
inline ExactSum exact_sum(const float* x, const float* weight, std::int64_t n) {
  ExactSum sum;
  for (std::int64_t k = 0; k < n; ++k) {
    const double product = double{x[k]} * weight[k];
    sum.value += product;
    sum.size += std::fabs(product);
  }
  return sum;
}

}  // namespace kvpress::testing
