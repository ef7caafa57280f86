#include "ops/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kvpress/base/threads.h"
#include "ops/rowwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cross_entropy.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/highway.h>

#include "ops/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Vectors summed in float32 before the sum moves on to double: a vocabulary of 50,304 would lose five bits else.
constexpr std::int64_t kVectorsPerSum = 64;

double SumExpDouble(const float* x, std::int64_t n, float shift) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto to_base_2 = hn::Set(d, std::numbers::log2e_v<float>);
  const auto by = hn::Set(d, shift);
  const auto exponential = [&](const float* at)
                               HWY_ATTR { return exp2_fast(d, hn::Mul(hn::Sub(hn::LoadU(d, at), by), to_base_2)); };
  double total = 0;
  std::int64_t i = 0;
  while (i + lanes <= n) {
    const std::int64_t end = std::min(n, i + kVectorsPerSum * lanes);
    auto a = hn::Zero(d);
    auto b = hn::Zero(d);
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      a = hn::Add(a, exponential(x + i));
      b = hn::Add(b, exponential(x + i + lanes));
    }
    for (; i + lanes <= end; i += lanes) a = hn::Add(a, exponential(x + i));
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b))));
  }
  for (; i < n; ++i) total += std::exp(static_cast<double>(x[i]) - static_cast<double>(shift));
  return total;
}

/// KL of softmax(p) and softmax(q), given the logarithms of their denominators. With d = log p - log q, sum(p d) loses
/// every digit where the distributions are alike; sum(p d + q - p) is the same (both add up to 1) and has no term below
/// 0: p (d + exp(-d) - 1), which a series gives for small d.
double Divergence(const float* p, const float* q, std::int64_t n, double p_log, double q_log) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by_p = hn::Set(d, static_cast<float>(p_log));
  const auto by_q = hn::Set(d, static_cast<float>(q_log));
  const auto by = hn::Set(d, static_cast<float>(p_log - q_log));
  const auto to_base_2 = hn::Set(d, std::numbers::log2e_v<float>);
  double total = 0;
  std::int64_t i = 0;
  while (i + lanes <= n) {
    const std::int64_t end = std::min(n, i + kVectorsPerSum * lanes);
    auto sum = hn::Zero(d);
    for (; i + lanes <= end; i += lanes) {
      const auto a = hn::LoadU(d, p + i);
      const auto b = hn::LoadU(d, q + i);
      const auto weight = exp2_fast(d, hn::Mul(hn::Sub(a, by_p), to_base_2));
      const auto x = hn::Sub(hn::Sub(a, b), by);
      // x - 1 + exp(-x) = x^2 (1/2 - x/6 + x^2/24 - ...)
      auto series = hn::Set(d, 1.0f / 40320);
      for (const float c : {-1.0f / 5040, 1.0f / 720, -1.0f / 120, 1.0f / 24, -1.0f / 6, 0.5f}) {
        series = hn::MulAdd(series, x, hn::Set(d, c));
      }
      const auto near = hn::Mul(hn::Mul(weight, x), hn::Mul(x, series));
      // A word of no probability adds q only, even where both logits are infinite and x is not a number.
      const auto product = hn::IfThenElseZero(hn::Gt(weight, hn::Zero(d)), hn::Mul(weight, x));
      const auto far = hn::Add(hn::Sub(exp2_fast(d, hn::Mul(hn::Sub(b, by_q), to_base_2)), weight), product);
      sum = hn::Add(sum, hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0.5f)), near, far));
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  }
  for (; i < n; ++i) {
    const double a = p[i];
    const double b = q[i];
    const double weight = std::exp(a - p_log);
    total += weight > 0 ? weight * (std::expm1(-((a - b) - (p_log - q_log))) + ((a - b) - (p_log - q_log)))
                        : std::exp(b - q_log);
  }
  return total;
}

/// The first index whose element is `value`; n if none is.
std::int64_t FindFirst(const float* x, std::int64_t n, float value) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  while (i + lanes <= n && hn::AllFalse(d, hn::Eq(hn::LoadU(d, x + i), hn::Set(d, value)))) i += lanes;
  while (i < n && x[i] != value) ++i;
  return i;
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(SumExpDouble);
HWY_EXPORT(Divergence);
HWY_EXPORT(FindFirst);

std::int64_t argmax(const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(FindFirst)(x, n, max_value(x, n)); }

CrossEntropyRows::CrossEntropyRows(std::span<const std::int32_t> targets)
    : targets_(targets),
      max_(targets.size(), -std::numeric_limits<float>::infinity()),
      target_(targets.size(), 0.0f),
      sum_(targets.size(), 0.0),
      finite_(targets.size(), 1) {}

void CrossEntropyRows::add(Matrix<const float> logits, std::int64_t first) {
  parallel_for(logits.rows, [&](std::int64_t i) {
    const float* row = logits.row(i);
    const auto at = static_cast<std::size_t>(i);
    if (!all_finite(row, logits.cols)) finite_[at] = 0;
    const float max = std::max(max_[at], max_value(row, logits.cols));
    if (max > -std::numeric_limits<float>::infinity()) {
      sum_[at] = sum_[at] * std::exp(static_cast<double>(max_[at]) - static_cast<double>(max)) +
                 HWY_DYNAMIC_DISPATCH(SumExpDouble)(row, logits.cols, max);
      max_[at] = max;
    }
    const std::int64_t column = targets_[at] - first;
    if (column >= 0 && column < logits.cols) target_[at] = row[column];
  });
}

void CrossEntropyRows::finish(std::span<float> nll, std::span<float> log_sums) const {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const double log_sum = std::log(sum_[i]);
    nll[i] = static_cast<float>(log_sum + (static_cast<double>(max_[i]) - static_cast<double>(target_[i])));
    if (!log_sums.empty()) log_sums[i] = static_cast<float>(static_cast<double>(max_[i]) + log_sum);
  }
}

void cross_entropy(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll) {
  CrossEntropyRows rows(targets);
  rows.add(logits, 0);
  rows.finish(nll);
}

ComparedRows::ComparedRows(std::span<const float> p_logs, std::span<const float> q_logs)
    : p_logs_(p_logs),
      q_logs_(q_logs),
      kl_(p_logs.size(), 0.0),
      finite_(p_logs.size(), 1),
      p_top_(p_logs.size(), Top{-std::numeric_limits<float>::infinity(), 0}),
      q_top_(p_top_) {}

void ComparedRows::take_top(const float* row, std::int64_t n, std::int64_t first, Top& top) {
  const float max = max_value(row, n);
  if (max > top.value) top = {max, first + HWY_DYNAMIC_DISPATCH(FindFirst)(row, n, max)};
}

void ComparedRows::add(Matrix<const float> p, Matrix<const float> q, std::int64_t first) {
  parallel_for(p.rows, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    if (!all_finite(p.row(i), p.cols) || !all_finite(q.row(i), q.cols)) finite_[at] = 0;
    kl_[at] += HWY_DYNAMIC_DISPATCH(Divergence)(p.row(i), q.row(i), p.cols, p_logs_[at], q_logs_[at]);
    take_top(p.row(i), p.cols, first, p_top_[at]);
    take_top(q.row(i), q.cols, first, q_top_[at]);
  });
}

void ComparedRows::finish(std::span<float> kl, std::span<std::uint8_t> same_top) const {
  for (std::size_t i = 0; i < kl_.size(); ++i) {
    kl[i] = static_cast<float>(std::max(0.0, kl_[i]));
    same_top[i] = p_top_[i].column == q_top_[i].column ? 1 : 0;
  }
}

void cross_entropy_plain(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll) {
  for (std::int64_t i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    const double max = *std::max_element(row, row + logits.cols);
    double sum = 0;
    for (std::int64_t v = 0; v < logits.cols; ++v) sum += std::exp(row[v] - max);
    const auto at = static_cast<std::size_t>(i);
    nll[at] = static_cast<float>(max + std::log(sum) - row[targets[at]]);
  }
}

}  // namespace kvpress
#endif  // HWY_ONCE
