// A feed-forward part of experts, within a forward pass: a router chooses some for each token, whose results are
// summed.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "model/forward_pass.h"
#include "ops/gates.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// One token's place among the rows of an expert, and what its result counts.
struct Routed {
  std::int64_t row;
  float weight;
};

/// The experts of each row, by the router's logits. Among equal logits the first experts win.
std::vector<std::vector<Routed>> route(Matrix<const float> logits, const ExpertSpec& spec) {
  std::vector<std::vector<Routed>> of_expert(static_cast<std::size_t>(spec.n));
  std::vector<std::int64_t> order(static_cast<std::size_t>(spec.n));
  for (std::int64_t row = 0; row < logits.rows; ++row) {
    const float* logit = logits.row(row);
    if (!all_finite(logit, spec.n)) {  // passed on, for the layer's result is looked at
      of_expert[0].push_back({row, std::numeric_limits<float>::quiet_NaN()});
      continue;
    }
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::partial_sort(order.begin(), order.begin() + spec.n_used, order.end(), [&](std::int64_t a, std::int64_t b) {
      return logit[a] > logit[b] || (logit[a] == logit[b] && a < b);
    });
    const double largest = logit[order.front()];
    double sum = 0;
    const std::int64_t n_summed = spec.normalized ? spec.n_used : spec.n;
    for (std::int64_t i = 0; i < n_summed; ++i) sum += std::exp(logit[order[i]] - largest);
    for (std::int64_t i = 0; i < spec.n_used; ++i) {
      const double weight = std::exp(logit[order[i]] - largest) / sum;
      of_expert[order[i]].push_back({row, static_cast<float>(weight)});
    }
  }
  return of_expert;
}

}  // namespace

Activations ForwardPass::feed_experts(std::int64_t l, const Activations& x) {
  const LayerWeights& layer = weights_.layers[l];
  const LayerSpec& spec = config_.layer(l);
  const Activations logits = buffers_.routed.get(DType::f32, x.rows, config_.experts.n);
  layer.router(x, logits);
  const Activations sum = buffers_.projected.get(DType::f32, x.rows, config_.hidden_size);
  std::fill_n(sum.as<float>(), sum.rows * sum.cols, 0.0f);
  const auto of_expert = route(logits.as_float(), config_.experts);
  for (std::size_t e = 0; e < of_expert.size(); ++e) {
    const auto& rows = of_expert[e];
    if (rows.empty()) continue;
    const auto n = static_cast<std::int64_t>(rows.size());
    const Activations gathered = buffers_.gathered.get(x.type, n, x.cols);
    for (std::int64_t i = 0; i < n; ++i) {
      const Activations from = x.block(rows[i].row, 1);
      std::copy_n(static_cast<const std::byte*>(from.data), static_cast<std::size_t>(x.cols) * size_of(x.type),
                  static_cast<std::byte*>(gathered.block(i, 1).data));
    }
    const Activations inner = inner_activations(spec, layer.experts[e].in, gathered);
    const Activations result = buffers_.expert_result.get(DType::f32, n, config_.hidden_size);
    layer.experts[e].out(inner, result);
    for (std::int64_t i = 0; i < n; ++i) {
      const float* from = result.as_float().row(i);
      float* to = sum.as_float().row(rows[i].row);
      for (std::int64_t c = 0; c < config_.hidden_size; ++c) to[c] += rows[i].weight * from[c];
    }
  }
  return sum;
}

}  // namespace kvpress
