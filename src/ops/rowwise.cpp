#include "ops/rowwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kvpress/base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rowwise.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

/// Loads n < lanes elements and zeros. Through a buffer: a masked load of SSE4 reads past the end.
template <typename V = hn::Vec<D>>
V load_some(D d, const float* x, std::int64_t n) {
  HWY_ALIGN float padded[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy_n(x, n, padded);
  return hn::Load(d, padded);
}

/// Highway's Exp is undefined above log(largest float): everything from there on becomes about 3e38.
template <typename V = hn::Vec<D>>
V safe_exp(D d, V x) {
  return hn::Exp(d, hn::Min(x, hn::Set(d, 88.7f)));
}

/// Folds `step(acc, vector)` over x with four accumulators, the rest filled up with `neutral`.
template <typename Step, typename Combine>
float reduce(const float* x, std::int64_t n, float neutral, Step step, Combine combine) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto a = hn::Set(d, neutral);
  auto b = a;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = step(a, hn::LoadU(d, x + i));
    b = step(b, hn::LoadU(d, x + i + lanes));
  }
  HWY_ALIGN float folded[HWY_MAX_BYTES / sizeof(float)];
  for (std::int64_t j = 0; j < lanes; ++j) folded[j] = neutral;
  float rest = neutral;
  a = combine(a, b);
  if (i + lanes <= n) {
    a = step(a, hn::LoadU(d, x + i));
    i += lanes;
  }
  hn::Store(a, d, folded);
  const hn::CappedTag<float, 1> one;
  for (; i < n; ++i) rest = hn::GetLane(step(hn::Set(one, rest), hn::Set(one, x[i])));
  auto result = hn::Set(one, rest);
  for (std::int64_t j = 0; j < lanes; ++j) result = combine(result, hn::Set(one, folded[j]));
  return hn::GetLane(result);
}

float MaxValue(const float* x, std::int64_t n) {
  const auto max = [](auto a, auto b) { return hn::Max(a, b); };
  return reduce(x, n, -std::numeric_limits<float>::infinity(), max, max);
}

/// 0 where all are finite: what is not, times 0, is NaN, and stays NaN in a sum.
float TimesZero(const float* x, std::int64_t n) {
  return reduce(
      x, n, 0.0f,
      [](auto a, auto v) {
        const hn::DFromV<decltype(v)> d;
        return hn::MulAdd(v, hn::Zero(d), a);
      },
      [](auto a, auto b) { return hn::Add(a, b); });
}

float Sum(const float* x, std::int64_t n) {
  const auto add = [](auto a, auto b) { return hn::Add(a, b); };
  return reduce(x, n, 0.0f, add, add);
}

/// sum((x - mean)^2)
float SquaredDeviation(const float* x, std::int64_t n, float mean) {
  return reduce(
      x, n, 0.0f,
      [mean](auto a, auto v) {
        const hn::DFromV<decltype(v)> d;
        const auto centred = hn::Sub(v, hn::Set(d, mean));
        return hn::MulAdd(centred, centred, a);
      },
      [](auto a, auto b) { return hn::Add(a, b); });
}

float ExpShifted(float* x, std::int64_t n, float shift) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, shift);
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto e = safe_exp(d, hn::Sub(hn::LoadU(d, x + i), by));
    hn::StoreU(e, d, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(n - i));
    const auto e = hn::IfThenElseZero(mask, safe_exp(d, hn::Sub(load_some(d, x + i, n - i), by)));
    hn::BlendedStore(e, mask, d, x + i);
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// sum(exp(x - shift)), x unchanged.
float SumExp(const float* x, std::int64_t n, float shift) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, shift);
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::Add(sum, hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), by)));
  if (i < n) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(n - i));
    sum = hn::Add(sum, hn::IfThenElseZero(mask, hn::Exp(d, hn::Sub(load_some(d, x + i, n - i), by))));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void Scale(float* x, std::int64_t n, float factor) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), by), d, x + i);
  for (; i < n; ++i) x[i] *= factor;
}

/// tanh as 1 - 2 / (e^2x + 1). NaN stays NaN, which minima and maxima would lose.
void SoftCap(float* x, std::int64_t n, float cap) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto twice = hn::Set(d, 2.0f / cap);
  const auto one = hn::Set(d, 1.0f);
  const auto capped = [&](hn::Vec<D> v) {
    const auto power = safe_exp(d, hn::Mul(v, twice));
    const auto tanh = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(power, one)));
    return hn::IfThenElse(hn::IsNaN(v), v, hn::Mul(hn::Set(d, cap), tanh));
  };
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(capped(hn::LoadU(d, x + i)), d, x + i);
  if (i == n) return;
  HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(capped(load_some(d, x + i, n - i)), d, rest);
  std::copy_n(rest, n - i, x + i);
}

void Add(const float* x, float* sum, std::int64_t n) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, sum + i)), d, sum + i);
  for (; i < n; ++i) sum[i] += x[i];
}

/// Stores one vector as float32 or as bfloat16, rounded to nearest even.
template <typename V>
void store_as(V v, D d, float* out) {
  hn::StoreU(v, d, out);
}
template <typename V>
void store_as(V v, D d, bf16* out) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto lowest_kept = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), lowest_kept));
  // A NaN's payload must not be rounded away to infinity.
  const auto kept = hn::IfThenElse(hn::MaskFromVec(hn::BitCast(du, hn::VecFromMask(d, hn::IsNaN(v)))),
                                   hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40)), rounded);
  const hn::Rebind<std::uint16_t, D> d16;
  hn::StoreU(hn::TruncateTo(d16, kept), d16, &out->bits);
}

/// out[i] = f(i, vector of index i), for n elements; the tail goes through a padded vector.
template <typename Out, typename F>
void map(Out* out, std::int64_t n, F f) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_as(f(i, [d](const float* x) { return hn::LoadU(d, x); }), d, out + i);
  if (i < n) {
    const std::int64_t left = n - i;
    Out padded[HWY_MAX_BYTES / sizeof(float)];
    store_as(f(i, [d, left](const float* x) { return load_some(d, x, left); }), d, padded);
    std::copy_n(padded, left, out + i);
  }
}

template <typename Out>
void NormRow(const float* x, std::int64_t n, float mean, float inverse, const float* weight, const float* bias,
             Out* out) {
  const D d;
  const auto m = hn::Set(d, mean);
  const auto s = hn::Set(d, inverse);
  map(out, n, [&](std::int64_t i, auto load) {
    const auto scaled = hn::Mul(hn::Mul(hn::Sub(load(x + i), m), s), load(weight + i));
    return bias == nullptr ? scaled : hn::Add(scaled, load(bias + i));
  });
}

void LayerNormRow(const float* x, std::int64_t n, float eps, const float* weight, const float* bias, DType type,
                  void* out) {
  const float mean = Sum(x, n) / static_cast<float>(n);
  const float inverse = 1.0f / std::sqrt(SquaredDeviation(x, n, mean) / static_cast<float>(n) + eps);
  if (type == DType::bf16) {
    NormRow(x, n, mean, inverse, weight, bias, static_cast<bf16*>(out));
  } else {
    NormRow(x, n, mean, inverse, weight, bias, static_cast<float*>(out));
  }
}

void RmsNormRow(const float* x, std::int64_t n, float eps, const float* weight, DType type, void* out) {
  const float inverse = 1.0f / std::sqrt(SquaredDeviation(x, n, 0.0f) / static_cast<float>(n) + eps);
  if (type == DType::bf16) {
    NormRow(x, n, 0.0f, inverse, weight, nullptr, static_cast<bf16*>(out));
  } else {
    NormRow(x, n, 0.0f, inverse, weight, nullptr, static_cast<float*>(out));
  }
}

template <typename Out>
void SiluRow(const float* gate, const float* up, std::int64_t n, Out* out) {
  const D d;
  const auto one = hn::Set(d, 1.0f);
  map(out, n, [&](std::int64_t i, auto load) {
    const auto g = load(gate + i);
    return hn::Mul(hn::Div(g, hn::Add(one, safe_exp(d, hn::Neg(g)))), load(up + i));
  });
}

void SiluMultiplyRow(const float* gate, const float* up, std::int64_t n, DType type, void* out) {
  if (type == DType::bf16) {
    SiluRow(gate, up, n, static_cast<bf16*>(out));
  } else {
    SiluRow(gate, up, n, static_cast<float*>(out));
  }
}

void FromBf16(const bf16* from, float* to, std::int64_t n) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, &from[i].bits)));
    hn::StoreU(hn::BitCast(d, bits), d, to + i);
  }
  for (; i < n; ++i) to[i] = kvpress::to_float(from[i]);
}

/// As to_float(f16) does it one by one.
void FromF16(const f16* from, float* to, std::int64_t n) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto exponents = hn::Set(du, 0x7c00u);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bits = hn::PromoteTo(du, hn::LoadU(d16, &from[i].bits));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
    const auto finite = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), hn::BitCast(d, hn::Set(du, 0x77800000u))));
    const auto infinite = hn::Or(magnitude, hn::Set(du, 0x7f800000u));
    const auto value = hn::IfThenElse(hn::Eq(hn::And(bits, exponents), exponents), infinite, finite);
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    hn::StoreU(hn::BitCast(d, hn::Or(value, sign)), d, to + i);
  }
  for (; i < n; ++i) to[i] = kvpress::to_float(from[i]);
}

void ToBf16(const float* from, bf16* to, std::int64_t n) {
  map(to, n, [&](std::int64_t i, auto load) { return load(from + i); });
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(MaxValue);
HWY_EXPORT(TimesZero);
HWY_EXPORT(ExpShifted);
HWY_EXPORT(SumExp);
HWY_EXPORT(Scale);
HWY_EXPORT(SoftCap);
HWY_EXPORT(Add);
HWY_EXPORT(LayerNormRow);
HWY_EXPORT(RmsNormRow);
HWY_EXPORT(SiluMultiplyRow);
HWY_EXPORT(FromBf16);
HWY_EXPORT(FromF16);
HWY_EXPORT(ToBf16);

namespace {

/// Rows of less work than this many elements are not worth waking the other threads for.
constexpr std::int64_t kParallelElements = 1 << 14;

template <typename Body>
void for_rows(std::int64_t rows, std::int64_t cols, Body&& body) {
  if (rows * cols < kParallelElements) {
    for (std::int64_t i = 0; i < rows; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < rows; ++i) body(i);
}

}  // namespace

void layer_norm(Matrix<const float> x, const float* weight, const float* bias, float eps, const Activations& out) {
  for_rows(x.rows, x.cols, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(LayerNormRow)(x.row(i), x.cols, eps, weight, bias, out.type, out.block(i, 1).data);
  });
}

void rms_norm(Matrix<const float> x, const float* weight, float eps, const Activations& out) {
  for_rows(x.rows, x.cols, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(RmsNormRow)(x.row(i), x.cols, eps, weight, out.type, out.block(i, 1).data);
  });
}

void silu_multiply(Matrix<const float> x, const Activations& out) {
  for_rows(x.rows, x.cols, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(SiluMultiplyRow)(x.row(i), x.row(i) + out.cols, out.cols, out.type, out.block(i, 1).data);
  });
}

void add(const float* x, float* sum, std::int64_t n) { HWY_DYNAMIC_DISPATCH(Add)(x, sum, n); }

float exp_shifted(float* x, std::int64_t n, float shift) { return HWY_DYNAMIC_DISPATCH(ExpShifted)(x, n, shift); }

float max_value(const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(MaxValue)(x, n); }

bool all_finite(const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(TimesZero)(x, n) == 0.0f; }

void scale(float* x, std::int64_t n, float factor) { HWY_DYNAMIC_DISPATCH(Scale)(x, n, factor); }

void soft_cap(float* x, std::int64_t n, float cap) { HWY_DYNAMIC_DISPATCH(SoftCap)(x, n, cap); }

float log_sum_exp(const float* x, std::int64_t n) {
  const float max = max_value(x, n);
  if (max == -std::numeric_limits<float>::infinity()) return max;
  return max + std::log(HWY_DYNAMIC_DISPATCH(SumExp)(x, n, max));
}

void to_float(const void* from, DType type, float* to, std::int64_t n) {
  switch (type) {
    case DType::f32:
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
      break;
    case DType::bf16:
      HWY_DYNAMIC_DISPATCH(FromBf16)(static_cast<const bf16*>(from), to, n);
      break;
    case DType::f16:
      HWY_DYNAMIC_DISPATCH(FromF16)(static_cast<const f16*>(from), to, n);
      break;
  }
}

void from_float(const float* from, void* to, DType type, std::int64_t n) {
  switch (type) {
    case DType::f32:
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
      break;
    case DType::bf16:
      HWY_DYNAMIC_DISPATCH(ToBf16)(from, static_cast<bf16*>(to), n);
      break;
    case DType::f16:
      for (std::int64_t i = 0; i < n; ++i) static_cast<f16*>(to)[i] = from_float<f16>(from[i]);
      break;
  }
}

}  // namespace kvpress
#endif  // HWY_ONCE
