#include "calibrate/ridge.h"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cmath>
#include <random>
#include <vector>

namespace kvpress {
namespace {

struct Data {
  std::vector<float> x, y;
  Eigen::MatrixXd inputs, outputs;
};

/// Outputs that depend on the inputs and on noise; inputs with means far from 0 and of unlike sizes.
Data draw(std::int64_t n, std::int64_t cols, std::int64_t outs) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  Data data;
  data.inputs.resize(n, cols);
  data.outputs.resize(n, outs);
  for (std::int64_t t = 0; t < n; ++t) {
    for (std::int64_t c = 0; c < cols; ++c) {
      data.x.push_back(3.0f + normal(random) * static_cast<float>(1 + c % 3));
      data.inputs(t, c) = data.x.back();
    }
    for (std::int64_t o = 0; o < outs; ++o) {
      data.y.push_back(normal(random) - 7.0f + data.x[static_cast<std::size_t>(t * cols + o)]);
      data.outputs(t, o) = data.y.back();
    }
  }
  return data;
}

TEST(Ridge, TheGradientVanishesAtTheFit) {
  constexpr std::int64_t kRows = 2100, kIn = 20, kOut = 3;
  const Data data = draw(kRows, kIn, kOut);
  Ridge ridge(kIn, kOut);
  for (const auto& [first, n] : {std::pair{0, 1500}, std::pair{1500, 1}, std::pair{1501, 599}}) {
    ridge.add({data.x.data() + first * kIn, n, kIn}, {data.y.data() + first * kOut, n, kOut});
  }
  EXPECT_EQ(ridge.count(), kRows);
  for (const double penalty : {0.0, 1.0, 1000.0}) {
    const Ridge::Fit fit = ridge.fit(penalty);
    const Eigen::MatrixXd weight = Eigen::Map<const Eigen::MatrixXf>(fit.weight.data(), kIn, kOut).cast<double>();
    const Eigen::RowVectorXd bias = Eigen::Map<const Eigen::RowVectorXf>(fit.bias.data(), kOut).cast<double>();
    const Eigen::MatrixXd residual = ((data.inputs * weight).rowwise() + bias) - data.outputs;
    EXPECT_LT(residual.colwise().sum().cwiseAbs().maxCoeff(), 1e-2);  // of 2100 rows
    const Eigen::MatrixXd gradient = data.inputs.transpose() * residual + penalty * weight;
    EXPECT_LT(gradient.cwiseAbs().maxCoeff(), 5e-2);  // of sums of about 6e4
    const Eigen::MatrixXd centred = data.outputs.rowwise() - data.outputs.colwise().mean();
    EXPECT_NEAR(fit.explained, 1 - residual.squaredNorm() / centred.squaredNorm(), 1e-5);
  }
}

TEST(Ridge, FewerRowsThanInputsStillHaveAFit) {
  const Data data = draw(5, 20, 2);
  Ridge ridge(20, 2);
  ridge.add({data.x.data(), 5, 20}, {data.y.data(), 5, 2});
  const Ridge::Fit fit = ridge.fit(1.0);
  for (const float value : fit.weight) EXPECT_TRUE(std::isfinite(value));
  EXPECT_GT(fit.explained, 0.8);
  EXPECT_LE(fit.explained, 1.0);
}

}  // namespace
}  // namespace kvpress
