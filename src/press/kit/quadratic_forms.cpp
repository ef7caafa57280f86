#include "press/kit/quadratic_forms.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <span>

#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"

namespace kvpress {
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
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(d_, d_);
  for (std::int64_t part = 0; part < n_parts_; ++part) {
    gram += Eigen::Map<const Floats>(sums_.data() + (set * n_parts_ + part) * d_ * d_, d_, d_).cast<double>();
  }
  AlignedVector<float> inverse(static_cast<std::size_t>(d_ * d_), 0.0f);
  const double trace = gram.trace();
  while (std::isfinite(trace)) {
    const Eigen::MatrixXd ridged = gram + ridge * Eigen::MatrixXd::Identity(d_, d_);
    const Eigen::LLT<Eigen::MatrixXd> factor(ridged);
    if (factor.info() == Eigen::Success && factor.matrixLLT().diagonal().allFinite()) {
      const Eigen::MatrixXd lower = factor.matrixL().solve(Eigen::MatrixXd::Identity(d_, d_));
      Eigen::Map<Floats>(inverse.data(), d_, d_) = lower.cast<float>();
      return inverse;
    }
    if (ridge > trace) break;  // rounding alone could not have outweighed it
    ridge *= 10;
  }
  return inverse;
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
