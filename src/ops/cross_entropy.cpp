#include "kvpress/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/threads.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {

std::int64_t argmax(const float* x, std::int64_t n) {
  const float max = max_value(x, n);
  return std::find(x, x + n, max) - x;
}

void cross_entropy(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll) {
  parallel_for(logits.rows, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    nll[at] = log_sum_exp(logits.row(i), logits.cols) - logits.row(i)[targets[at]];
  });
}

void compare_logits(Matrix<const float> p, Matrix<const float> q, std::span<float> kl,
                    std::span<std::uint8_t> same_top) {
  parallel_for(p.rows, [&](std::int64_t i) {
    const float* a = p.row(i);
    const float* b = q.row(i);
    const double a_norm = log_sum_exp(a, p.cols);
    const double b_norm = log_sum_exp(b, p.cols);
    double sum = 0;
    for (std::int64_t v = 0; v < p.cols; ++v) {
      const double log_p = a[v] - a_norm;
      sum += std::exp(log_p) * (log_p - (b[v] - b_norm));
    }
    const auto at = static_cast<std::size_t>(i);
    kl[at] = static_cast<float>(sum);
    same_top[at] = argmax(a, p.cols) == argmax(b, p.cols) ? 1 : 0;
  });
}

}  // namespace kvpress
