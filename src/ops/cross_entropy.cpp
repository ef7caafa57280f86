#include "kvpress/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kvpress/base/threads.h"
#include "kvpress/ops/rowwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kvpress/ops/cross_entropy.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/highway.h>

#include "kvpress/ops/exp2-inl.h"

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

void cross_entropy(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll) {
  parallel_for(logits.rows, [&](std::int64_t i) {
    const float* row = logits.row(i);
    const auto at = static_cast<std::size_t>(i);
    const float max = max_value(row, logits.cols);
    const double sum = HWY_DYNAMIC_DISPATCH(SumExpDouble)(row, logits.cols, max);
    nll[at] = static_cast<float>(std::log(sum) + (static_cast<double>(max) - static_cast<double>(row[targets[at]])));
  });
}

void compare_logits(Matrix<const float> p, Matrix<const float> q, std::span<float> kl,
                    std::span<std::uint8_t> same_top) {
  parallel_for(p.rows, [&](std::int64_t i) {
    const float* a = p.row(i);
    const float* b = q.row(i);
    const float a_max = max_value(a, p.cols);
    const float b_max = max_value(b, q.cols);
    const double a_log = a_max + std::log(HWY_DYNAMIC_DISPATCH(SumExpDouble)(a, p.cols, a_max));
    const double b_log = b_max + std::log(HWY_DYNAMIC_DISPATCH(SumExpDouble)(b, q.cols, b_max));
    const auto at = static_cast<std::size_t>(i);
    kl[at] = static_cast<float>(HWY_DYNAMIC_DISPATCH(Divergence)(a, b, p.cols, a_log, b_log));
    const bool same =
        HWY_DYNAMIC_DISPATCH(FindFirst)(a, p.cols, a_max) == HWY_DYNAMIC_DISPATCH(FindFirst)(b, q.cols, b_max);
    same_top[at] = same ? 1 : 0;
  });
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
