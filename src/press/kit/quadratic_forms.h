// Leverage scores: x' (G + c I)^-1 x for each row x of a matrix, where the Gram matrix G is the sum of y y' over rows
// y.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/base/memory.h"

namespace kvpress {

/// Gram matrices of several sets of rows of d floats. Each set is summed in a fixed number of parts, so threads do not
/// wait for each other and the result does not depend on their number. Memory does not grow with the number of rows.
class GramMatrices {
 public:
  /// For n_sets sets of at most `longest` rows.
  GramMatrices(std::int64_t n_sets, std::int64_t longest, std::int64_t d);

  std::int64_t n_parts() const { return n_parts_; }
  std::int64_t rows_of_part() const { return rows_of_part_; }
  /// Adds n rows, [n, d]. Only one thread at a time may add to a part of a set.
  void add(std::int64_t set, std::int64_t part, const float* rows, std::int64_t n);

  /// F with F'F = (G + ridge I)^-1, [d, d] row-major, computed in double. If G + ridge I is not positive definite
  /// because of rounding, the ridge is multiplied by 10 until it is. Returns zeros if that fails (numbers that are not
  /// finite).
  AlignedVector<float> inverse_factor(std::int64_t set, double ridge) const;

 private:
  std::int64_t d_;
  std::int64_t n_parts_;
  std::int64_t rows_of_part_;
  AlignedVector<float> sums_;  // [sets, parts, d, d]
};

/// forms[j] = x_j' (G + c I)^-1 x_j for n rows, [n, d]. `factor` is inverse_factor().
void quadratic_forms(const float* rows, std::int64_t n, std::int64_t d, const float* factor, float* forms);

}  // namespace kvpress
