#include "kvpress/press/quadratic_forms.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kvpress/ops/linear.h"
#include "kvpress/press/key_rows.h"

namespace kvpress {
namespace {

/// Lower L with L L' = a, in place; false where a is not positive definite.
bool cholesky(std::vector<double>& a, std::size_t d) {
  for (std::size_t i = 0; i < d; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i * d + j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i * d + k] * a[j * d + k];
      if (i == j) {
        if (!(sum > 0) || !std::isfinite(sum)) return false;
        a[i * d + i] = std::sqrt(sum);
      } else {
        a[i * d + j] = sum / a[j * d + j];
      }
    }
  }
  return true;
}

/// The inverse of a lower triangle, column by column.
AlignedVector<float> inverse_of_lower(const std::vector<double>& lower, std::size_t d) {
  AlignedVector<float> inverse(d * d, 0.0f);
  std::vector<double> column(d);
  for (std::size_t c = 0; c < d; ++c) {
    for (std::size_t i = c; i < d; ++i) {
      double sum = i == c ? 1 : 0;
      for (std::size_t k = c; k < i; ++k) sum -= lower[i * d + k] * column[k];
      column[i] = sum / lower[i * d + i];
      inverse[i * d + c] = static_cast<float>(column[i]);
    }
  }
  return inverse;
}

}  // namespace

GramMatrices::GramMatrices(std::int64_t n_sets, std::int64_t longest, std::int64_t d) : d_(d) {
  constexpr std::int64_t kMaxParts = 16;
  constexpr std::int64_t kLeastRows = 512;
  n_parts_ = std::clamp<std::int64_t>(longest / kLeastRows, 1, kMaxParts);
  rows_of_part_ = (longest + n_parts_ - 1) / n_parts_;
  sums_.resize(static_cast<std::size_t>(n_sets * n_parts_ * d * d), 0.0f);
}

void GramMatrices::add(std::int64_t set, std::int64_t part, const float* rows, std::int64_t n) {
  if (n == 0) return;
  gemm(true, false, d_, d_, n, 1.0f, rows, d_, rows, d_, 1.0f, sums_.data() + (set * n_parts_ + part) * d_ * d_, d_);
}

AlignedVector<float> GramMatrices::inverse_factor(std::int64_t set, double ridge) const {
  const auto d = static_cast<std::size_t>(d_);
  std::vector<double> gram(d * d, 0.0);
  for (std::int64_t part = 0; part < n_parts_; ++part) {
    const float* sum = sums_.data() + (set * n_parts_ + part) * d_ * d_;
    for (std::size_t i = 0; i < d * d; ++i) gram[i] += sum[i];
  }
  double trace = 0;
  for (std::size_t i = 0; i < d; ++i) trace += gram[i * d + i];
  while (std::isfinite(trace)) {
    std::vector<double> lower = gram;
    for (std::size_t i = 0; i < d; ++i) lower[i * d + i] += ridge;
    if (cholesky(lower, d)) return inverse_of_lower(lower, d);
    if (ridge > trace) break;  // rounding alone could not have outweighed it
    ridge *= 10;
  }
  return AlignedVector<float>(d * d, 0.0f);
}

void quadratic_forms(const float* rows, std::int64_t n, std::int64_t d, const float* factor, float* forms) {
  AlignedVector<float> turned(static_cast<std::size_t>(n * d));
  gemm(false, true, n, d, d, 1.0f, rows, d, factor, d, 0.0f, turned.data(), d);
  for (std::int64_t j = 0; j < n; ++j) {
    const std::span<const float> row(turned.data() + j * d, static_cast<std::size_t>(d));
    forms[j] = dot(row, row);
  }
}

}  // namespace kvpress
