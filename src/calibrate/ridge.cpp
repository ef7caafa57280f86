#include "calibrate/ridge.h"

#include <Eigen/Cholesky>
#include <algorithm>

#include "kvpress/base/memory.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {
namespace {

using MatrixMap = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
using VectorMap = Eigen::Map<const Eigen::VectorXd>;

/// to += a' b, in float32 over a few rows at a time and in double over all.
void add_products(Matrix<const float> a, Matrix<const float> b, std::vector<double>& to) {
  constexpr std::int64_t kRows = 1024;
  AlignedVector<float> sum(to.size());
  for (std::int64_t first = 0; first < a.rows; first += kRows) {
    const std::int64_t n = std::min(kRows, a.rows - first);
    gemm(true, false, a.cols, b.cols, n, 1.0f, a.row(first), a.stride, b.row(first), b.stride, 0.0f, sum.data(),
         b.cols);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += sum[i];
  }
}

}  // namespace

Ridge::Ridge(std::int64_t n_inputs, std::int64_t n_outputs)
    : n_inputs_(n_inputs),
      n_outputs_(n_outputs),
      gram_(static_cast<std::size_t>(n_inputs * n_inputs), 0.0),
      cross_(static_cast<std::size_t>(n_inputs * n_outputs), 0.0),
      inputs_(static_cast<std::size_t>(n_inputs), 0.0),
      outputs_(static_cast<std::size_t>(n_outputs), 0.0),
      squares_(static_cast<std::size_t>(n_outputs), 0.0) {}

void Ridge::add(Matrix<const float> inputs, Matrix<const float> outputs) {
  add_products(inputs, inputs, gram_);
  add_products(inputs, outputs, cross_);
  for (std::int64_t t = 0; t < inputs.rows; ++t) {
    for (std::int64_t c = 0; c < n_inputs_; ++c) inputs_[c] += inputs.row(t)[c];
    for (std::int64_t o = 0; o < n_outputs_; ++o) {
      const auto y = static_cast<double>(outputs.row(t)[o]);
      outputs_[o] += y;
      squares_[o] += y * y;
    }
  }
  count_ += inputs.rows;
}

Ridge::Fit Ridge::fit(double penalty) const {
  const auto n = static_cast<double>(count_);
  const Eigen::VectorXd mean_in = VectorMap(inputs_.data(), n_inputs_) / n;
  const Eigen::VectorXd mean_out = VectorMap(outputs_.data(), n_outputs_) / n;
  const Eigen::MatrixXd cross = MatrixMap(cross_.data(), n_inputs_, n_outputs_) - n * mean_in * mean_out.transpose();
  Eigen::MatrixXd gram = MatrixMap(gram_.data(), n_inputs_, n_inputs_) - n * mean_in * mean_in.transpose();
  gram.diagonal().array() += penalty;
  const Eigen::MatrixXd weight = gram.ldlt().solve(cross);  // [inputs, outputs]
  const Eigen::VectorXd bias = mean_out - weight.transpose() * mean_in;
  gram.diagonal().array() -= penalty;
  // |y|^2 - 2 w'X'y + w'X'Xw, all centred.
  const double total = VectorMap(squares_.data(), n_outputs_).sum() - n * mean_out.squaredNorm();
  const double left = total - 2 * weight.cwiseProduct(cross).sum() + weight.cwiseProduct(gram * weight).sum();
  Fit fit;
  fit.weight.resize(static_cast<std::size_t>(n_outputs_ * n_inputs_));
  fit.bias.resize(static_cast<std::size_t>(n_outputs_));
  // A column of [inputs, outputs] is a row of [outputs, inputs].
  Eigen::Map<Eigen::MatrixXf>(fit.weight.data(), n_inputs_, n_outputs_) = weight.cast<float>();
  Eigen::Map<Eigen::VectorXf>(fit.bias.data(), n_outputs_) = bias.cast<float>();
  fit.explained = total > 0 ? 1 - left / total : 1;
  return fit;
}

double Ridge::bytes(std::int64_t n_inputs) {
  return 8.0 * static_cast<double>(n_inputs) * static_cast<double>(n_inputs);
}

}  // namespace kvpress
