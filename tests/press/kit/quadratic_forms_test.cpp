#include "press/kit/quadratic_forms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/random.h"

namespace kvpress {
namespace {

/// x' (sum of y y' + ridge I)^-1 x by Gaussian elimination in double.
double form(const std::vector<float>& rows, std::size_t d, double ridge, const float* x) {
  std::vector<double> a(d * d, 0.0);
  for (std::size_t r = 0; r < rows.size(); r += d) {
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < d; ++j) a[i * d + j] += double{rows[r + i]} * rows[r + j];
    }
  }
  for (std::size_t i = 0; i < d; ++i) a[i * d + i] += ridge;
  std::vector<double> solution(x, x + d);
  for (std::size_t p = 0; p < d; ++p) {
    for (std::size_t i = p + 1; i < d; ++i) {
      const double factor = a[i * d + p] / a[p * d + p];
      for (std::size_t j = p; j < d; ++j) a[i * d + j] -= factor * a[p * d + j];
      solution[i] -= factor * solution[p];
    }
  }
  double sum = 0;
  for (std::size_t i = d; i-- > 0;) {
    for (std::size_t j = i + 1; j < d; ++j) solution[i] -= a[i * d + j] * solution[j];
    solution[i] /= a[i * d + i];
    sum += solution[i] * x[i];
  }
  return sum;
}

void expect_forms(const std::vector<float>& rows, std::int64_t d, double ridge) {
  const auto n = static_cast<std::int64_t>(rows.size()) / d;
  GramMatrices grams(2, n, d);
  for (std::int64_t part = 0; part < grams.n_parts(); ++part) {
    const std::int64_t first = part * grams.rows_of_part();
    grams.add(1, part, rows.data() + first * d, std::min(grams.rows_of_part(), n - first));
  }
  std::vector<float> forms(static_cast<std::size_t>(n));
  quadratic_forms(rows.data(), n, d, grams.inverse_factor(1, ridge).data(), forms.data());
  for (std::int64_t j = 0; j < n; j += 97) {
    const double expected = form(rows, static_cast<std::size_t>(d), ridge, rows.data() + j * d);
    EXPECT_NEAR(forms[static_cast<std::size_t>(j)], expected, 1e-4 * expected) << j;
  }
  // The other set has no rows: what is left is the ridge.
  quadratic_forms(rows.data(), 1, d, grams.inverse_factor(0, 4).data(), forms.data());
  double square = 0;
  for (std::int64_t c = 0; c < d; ++c) square += std::pow(rows[static_cast<std::size_t>(c)], 2);
  EXPECT_NEAR(forms[0], square / 4, 1e-5 * square);
}

TEST(QuadraticForms, AreThoseOfTheInverse) {
  expect_forms(testing::random_values(5 * 7, 1), 7, 0.01);  // fewer rows than channels
  expect_forms(testing::random_values(2000 * 12, 2), 12, 1);
}

TEST(QuadraticForms, ManyPartsAreOneSum) {
  const GramMatrices grams(1, 100000, 4);
  EXPECT_GT(grams.n_parts(), 1);
  EXPECT_GE(grams.n_parts() * grams.rows_of_part(), 100000);
}

TEST(QuadraticForms, NumbersThatAreNotFiniteGiveZeros) {
  std::vector<float> rows = testing::random_values(8 * 3, 3);
  rows[5] = INFINITY;
  GramMatrices grams(1, 8, 3);
  grams.add(0, 0, rows.data(), 8);
  for (const float value : grams.inverse_factor(0, 0.01)) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace kvpress
