// Ridge regression with an intercept, from rows that are added in any number of calls: minimizes
// sum |W x + b - y|^2 + penalty |W|^2.
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "kvpress/ops/matrix.h"

namespace kvpress {

class Ridge {
 public:
  Ridge(std::int64_t n_inputs, std::int64_t n_outputs);

  /// Adds rows of inputs, [n, n_inputs], and outputs, [n, n_outputs].
  void add(Matrix<const float> inputs, Matrix<const float> outputs);

  struct Fit {
    std::vector<float> weight;  ///< [n_outputs, n_inputs]
    std::vector<float> bias;    ///< [n_outputs]
    double explained = 0;       ///< explained share of the variance of the added outputs
  };
  /// Needs at least one row. The penalty is alpha of sklearn; it does not apply to the intercept.
  Fit fit(double penalty) const;

  std::int64_t count() const { return count_; }
  /// The bytes of an object. fit() needs the same amount in addition.
  static double bytes(std::int64_t n_inputs);

 private:
  std::int64_t n_inputs_;
  std::int64_t n_outputs_;
  std::int64_t count_ = 0;
  std::vector<double> gram_;   // sum of x x'
  std::vector<double> cross_;  // sum of x y', [n_inputs, n_outputs]
  std::vector<double> inputs_;
  std::vector<double> outputs_;
  std::vector<double> squares_;  // of the outputs
};

}  // namespace kvpress
