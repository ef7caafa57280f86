// x' (G + c I)^-1 x for every row x of a matrix, where G is a Gram matrix, the sum of y y' over rows y: leverage
// scores.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/base/memory.h"

namespace kvpress {

/// Gram matrices of several sets of rows of d floats, summed up in parts so that threads need not wait for each other.
/// The result does not depend on the number of threads, and takes memory that the number of rows does not change.
class GramMatrices {
 public:
  /// Of sets of at most `longest` rows.
  GramMatrices(std::int64_t n_sets, std::int64_t longest, std::int64_t d);

  std::int64_t n_parts() const { return n_parts_; }
  std::int64_t rows_of_part() const { return rows_of_part_; }
  /// Takes in n rows; a part of a set is one thread's at a time.
  void add(std::int64_t set, std::int64_t part, const float* rows, std::int64_t n);

  /// F with F'F = (G + ridge I)^-1, [d, d] row-major, computed in double. Where rounding left G + ridge I not positive
  /// definite the ridge grows tenfold until it is; zeros when nothing helps (numbers that are not finite).
  AlignedVector<float> inverse_factor(std::int64_t set, double ridge) const;

 private:
  std::int64_t d_;
  std::int64_t n_parts_;
  std::int64_t rows_of_part_;
  AlignedVector<float> sums_;  // [sets, parts, d, d]
};

/// forms[j] = x_j' (G + c I)^-1 x_j of n rows, given inverse_factor().
void quadratic_forms(const float* rows, std::int64_t n, std::int64_t d, const float* factor, float* forms);

}  // namespace kvpress
