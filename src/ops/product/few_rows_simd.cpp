#include <algorithm>
#include <cstring>

#include "ops/product/few_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/product/few_rows_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "ops/load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Vectors of at most kColumns floats; kParts of them make kColumns.
using D = hn::CappedTag<float, kColumns>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kParts = static_cast<int>(kColumns) / kLanes;

/// How far ahead weights are asked for: the processor's own prefetching starts anew at each page.
template <typename T>
constexpr std::int64_t kAhead = 2048 / sizeof(T);

/// kVectors * kParts vectors of columns of a panel, by kRows rows. A single row takes even and odd inputs to sums of
/// their own, since one instruction waits for the sum of the one before.
template <int kVectors, int kRows, typename T>
HWY_INLINE void sum_columns(const T* w, std::int64_t step, const float* x, std::int64_t in, float* sums,
                            std::int64_t stride) {
  constexpr int kSets = kRows == 1 ? 2 : 1;
  constexpr int kAll = kVectors * kParts;
  const D d;
  V sum[kSets][kRows][kAll];
  for (auto& set : sum) {
    for (auto& row : set) {
      for (auto& vector : row) vector = hn::Zero(d);
    }
  }
  std::int64_t k = 0;
  for (; k + kSets <= in; k += kSets) {
    for (int s = 0; s < kSets; ++s, w += step) {
      for (int v = 0; v < kAll; ++v) {
        const V weight = load(d, w + kLanes * v);
        if (kLanes * v % static_cast<int>(64 / sizeof(T)) == 0) hwy::Prefetch(w + kLanes * v + kAhead<T>);
        for (int r = 0; r < kRows; ++r) {
          sum[s][r][v] = hn::MulAdd(weight, hn::Set(d, x[r * in + k + s]), sum[s][r][v]);
        }
      }
    }
  }
  for (; k < in; ++k, w += step) {
    for (int v = 0; v < kAll; ++v) {
      const V weight = load(d, w + kLanes * v);
      for (int r = 0; r < kRows; ++r) sum[0][r][v] = hn::MulAdd(weight, hn::Set(d, x[r * in + k]), sum[0][r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kAll; ++v) {
      const V total = kSets == 1 ? sum[0][r][v] : hn::Add(sum[0][r][v], sum[kSets - 1][r][v]);
      hn::StoreU(total, d, sums + r * stride + kLanes * v);
    }
  }
}

template <int kRows, typename T>
void sum_vectors(const T* w, std::int64_t step, const float* x, std::int64_t in, std::int64_t n, float* sums,
                 std::int64_t stride) {
  static_assert(kFewVectors == 4);
  // More sums than registers would be kept in memory: narrow vectors take a panel in several passes.
  constexpr int kAtOnce = kParts == 1 ? 4 : (kRows <= 2 && kParts == 2 ? 2 : 1);
  while (n > 0) {
    if (kAtOnce == 4 && n >= 4) {
      sum_columns<(kAtOnce == 4 ? 4 : 1), kRows>(w, step, x, in, sums, stride);
      return;
    }
    const bool two = kAtOnce >= 2 && n >= 2;
    if (two) {
      sum_columns<(kAtOnce >= 2 ? 2 : 1), kRows>(w, step, x, in, sums, stride);
    } else {
      sum_columns<1, kRows>(w, step, x, in, sums, stride);
    }
    const std::int64_t done = two ? 2 : 1;
    w += done * kColumns;
    sums += done * kColumns;
    n -= done;
  }
}

template <typename T>
void sum_panel_of(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
                  float* sums, std::int64_t stride) {
  const std::int64_t column = first * kColumns;
  const T* w =
      static_cast<const T*>(weights.data) + column / weights.width * weights.panel_stride + column % weights.width;
  const auto* rows = static_cast<const float*>(x);
  static_assert(kProductRows == 4);
  switch (n_rows) {
    case 1:
      return sum_vectors<1>(w, weights.width, rows, weights.in, n, sums, stride);
    case 2:
      return sum_vectors<2>(w, weights.width, rows, weights.in, n, sums, stride);
    case 3:
      return sum_vectors<3>(w, weights.width, rows, weights.in, n, sums, stride);
    default:
      return sum_vectors<4>(w, weights.width, rows, weights.in, n, sums, stride);
  }
}

void SumPanel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
              float* sums, std::int64_t stride) {
  sum_panel_of<float>(weights, x, n_rows, first, n, sums, stride);
}

void SumBf16Panel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
                  float* sums, std::int64_t stride) {
  sum_panel_of<bf16>(weights, x, n_rows, first, n, sums, stride);
}

void SumF16Panel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
                 float* sums, std::int64_t stride) {
  sum_panel_of<f16>(weights, x, n_rows, first, n, sums, stride);
}

/// One row of plain weights with kRows rows of inputs.
template <int kRows>
HWY_INLINE void dot_row(const float* w, const float* x, std::int64_t in, float* sums, std::int64_t stride) {
  constexpr int kSets = kRows == 1 ? 4 : (kRows == 2 ? 2 : 1);
  const D d;
  V sum[kSets][kRows];
  for (auto& set : sum) {
    for (auto& row : set) row = hn::Zero(d);
  }
  std::int64_t k = 0;
  for (; k + kSets * kLanes <= in; k += kSets * kLanes) {
    for (int s = 0; s < kSets; ++s) {
      const std::int64_t at = k + s * kLanes;
      const V weight = hn::LoadU(d, w + at);
      if (at % 16 == 0) hwy::Prefetch(w + at + kAhead<float>);
      for (int r = 0; r < kRows; ++r) sum[s][r] = hn::MulAdd(weight, hn::LoadU(d, x + r * in + at), sum[s][r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int s = 1; s < kSets; ++s) sum[0][r] = hn::Add(sum[0][r], sum[s][r]);
    float total = hn::GetLane(hn::SumOfLanes(d, sum[0][r]));
    for (std::int64_t i = k; i < in; ++i) total += w[i] * x[r * in + i];
    sums[r * stride] = total;
  }
}

void DotRows(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
             float* sums, std::int64_t stride) {
  const auto* rows = static_cast<const float*>(x);
  const std::int64_t end = std::min(weights.out, (first + n) * kColumns);
  static_assert(kProductRows == 4);
  for (std::int64_t c = first * kColumns; c < end; ++c, ++sums) {
    const float* w = static_cast<const float*>(weights.data) + c * weights.in;
    switch (n_rows) {
      case 1:
        dot_row<1>(w, rows, weights.in, sums, stride);
        break;
      case 2:
        dot_row<2>(w, rows, weights.in, sums, stride);
        break;
      case 3:
        dot_row<3>(w, rows, weights.in, sums, stride);
        break;
      default:
        dot_row<4>(w, rows, weights.in, sums, stride);
    }
  }
}

/// 1 / (1 + e^-x); Highway's Exp is undefined above log(largest float).
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 88.7f)))));
}

/// Abramowitz and Stegun 7.1.26: within 1.5e-7.
HWY_INLINE V erf_of(D d, V x) {
  const V z = hn::Abs(x);
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
  V poly = hn::Set(d, 1.061405429f);
  for (const float c : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) {
    poly = hn::MulAdd(poly, t, hn::Set(d, c));
  }
  const V e = hn::Exp(d, hn::Max(hn::Neg(hn::Mul(z, z)), hn::Set(d, -87.0f)));
  return hn::CopySign(hn::NegMulAdd(hn::Mul(poly, t), e, hn::Set(d, 1.0f)), x);
}

HWY_INLINE V activated(D d, V x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu_erf: {
      const V half = hn::Mul(x, hn::Set(d, 0.5f));
      return hn::MulAdd(half, erf_of(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
    }
    case Activation::gelu_tanh: {  // (1 + tanh(u)) / 2 = sigmoid(2 u)
      const V cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
      return hn::Mul(x, sigmoid(d, hn::Mul(hn::Mul(x, cubic), hn::Set(d, 2 * 0.79788456f))));
    }
    case Activation::relu:
      return hn::Max(x, hn::Zero(d));
    case Activation::silu:
      return hn::Mul(x, sigmoid(d, x));
  }
  return x;
}

/// x = activation(x + bias). `x` may be read and written up to a whole vector.
void BiasAndActivation(float* x, std::int64_t n, const float* bias, Activation activation) {
  const D d;
  HWY_ALIGN float padded[kLanes] = {};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    V v = hn::LoadU(d, x + i);
    if (bias != nullptr && n - i >= kLanes) {
      v = hn::Add(v, hn::LoadU(d, bias + i));
    } else if (bias != nullptr) {
      std::copy_n(bias + i, n - i, padded);
      v = hn::Add(v, hn::Load(d, padded));
    }
    hn::StoreU(activated(d, v, activation), d, x + i);
  }
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(SumPanel);
HWY_EXPORT(SumBf16Panel);
HWY_EXPORT(SumF16Panel);
HWY_EXPORT(DotRows);
HWY_EXPORT(BiasAndActivation);

namespace {

void sum_panel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
               float* sums, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(SumPanel)(weights, x, n_rows, first, n, sums, stride);
}

void sum_bf16_panel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first,
                    std::int64_t n, float* sums, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(SumBf16Panel)(weights, x, n_rows, first, n, sums, stride);
}

void sum_f16_panel(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
                   float* sums, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(SumF16Panel)(weights, x, n_rows, first, n, sums, stride);
}

void dot_rows(const PackedWeights& weights, const void* x, std::int64_t n_rows, std::int64_t first, std::int64_t n,
              float* sums, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(DotRows)(weights, x, n_rows, first, n, sums, stride);
}

}  // namespace

FewRowsKernel float_few_rows_kernel(const PackedWeights& weights) { return weights.width > 0 ? sum_panel : dot_rows; }

FewRowsKernel half_few_rows_kernel(DType type) { return type == DType::bf16 ? sum_bf16_panel : sum_f16_panel; }

void bias_and_activation(float* x, std::int64_t n, const float* bias, Activation activation) {
  HWY_DYNAMIC_DISPATCH(BiasAndActivation)(x, n, bias, activation);
}

}  // namespace kvpress
#endif  // HWY_ONCE
