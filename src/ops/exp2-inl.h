// 2^x for vectors of any target. Included by the sources that Highway compiles once a target, hence the guard.
#if defined(KVPRESS_OPS_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPRESS_OPS_EXP2_INL_H_
#undef KVPRESS_OPS_EXP2_INL_H_
#else
#define KVPRESS_OPS_EXP2_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {

/// 2^x for x <= 127; below 2^-126 it is 0. Relative error below 2e-7, in two thirds of the instructions of hn::Exp.
template <typename D, typename V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V exp2_fast(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const auto bounded = hn::Max(x, hn::Set(d, -127.0f));
  const auto whole = hn::Round(bounded);
  const auto rest = hn::Sub(bounded, whole);
  auto y = hn::Set(d, 1.326472696e-3f);
  for (const float c : {9.671512668e-3f, 5.550733744e-2f, 2.402224208e-1f, 6.931469776e-1f, 1.0f}) {
    y = hn::MulAdd(y, rest, hn::Set(d, c));
  }
  // 2^whole by its exponent bits; at -127 they are all 0, which makes the product 0.
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, whole), hn::Set(di, 127))));
  return hn::Mul(y, power);
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
