// Q-Filters (https://arxiv.org/abs/2503.02812, section 3): of each query head the first right singular vector of its
// queries (after RoPE), turned so that they lie on its positive side; the mean over the heads that share a KV head. As
// in the published files the result points the other way, and is not scaled to length 1.
#include <Eigen/Eigenvalues>
#include <algorithm>

#include "calibrate/calibrate.h"
#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {
namespace {

/// Of one query head.
struct Moments {
  Eigen::MatrixXd gram;  // sum of q q'
  Eigen::VectorXd sum;
};

void add(const AttentionBlock& block, std::int64_t head, Moments& moments) {
  constexpr std::int64_t kRows = 256;  // a partial sum in float32, the whole in double
  const std::int64_t d = block.config.head_dim;
  const auto queries = block.queries.columns(head * d, d);
  AlignedVector<float> gram(static_cast<std::size_t>(d * d));
  for (std::int64_t first = 0; first < block.n_new; first += kRows) {
    const std::int64_t n = std::min(kRows, block.n_new - first);
    gemm(true, false, d, d, n, 1.0f, queries.row(first), queries.stride, queries.row(first), queries.stride, 0.0f,
         gram.data(), d);
    moments.gram += Eigen::Map<const Eigen::MatrixXf>(gram.data(), d, d).cast<double>();  // symmetric: any order
    for (std::int64_t t = first; t < first + n; ++t) {
      moments.sum += Eigen::Map<const Eigen::VectorXf>(queries.row(t), d).cast<double>();
    }
  }
}

/// The eigenvector of Q'Q with the largest eigenvalue is the first right singular vector of Q.
Eigen::VectorXd main_direction(const Moments& moments) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(moments.gram);
  const Eigen::VectorXd first = solver.eigenvectors().rightCols<1>();
  return first.dot(moments.sum) < 0 ? Eigen::VectorXd(-first) : first;
}

}  // namespace

std::vector<NamedTensor> calibrate_qfilter(const Calibration& calibration) {
  const ModelConfig& config = calibration.model.config();
  const std::int64_t d = config.head_dim;
  std::vector<Moments> moments(static_cast<std::size_t>(config.n_layers * config.n_heads),
                               {Eigen::MatrixXd::Zero(d, d), Eigen::VectorXd::Zero(d)});
  read_texts(calibration, [&](const AttentionBlock& block) {
    parallel_for(config.n_heads, [&](std::int64_t h) { add(block, h, moments[block.layer * config.n_heads + h]); });
  });
  NamedTensor filters{"q_filters", {config.n_layers, config.n_kv_heads, d}, {}};
  filters.values.resize(static_cast<std::size_t>(config.n_layers * config.n_kv_heads * d));
  parallel_for(config.n_layers * config.n_kv_heads, [&](std::int64_t item) {
    Eigen::VectorXd filter = Eigen::VectorXd::Zero(d);
    for (std::int64_t i = 0; i < config.group_size(); ++i) {
      filter -= main_direction(moments[item * config.group_size() + i]);
    }
    filter /= static_cast<double>(config.group_size());
    Eigen::Map<Eigen::VectorXf>(filters.values.data() + item * d, d) = filter.cast<float>();
  });
  return {std::move(filters)};
}

}  // namespace kvpress
