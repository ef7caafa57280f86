// Vectors of float32 from elements of any type that a cache or weights may have. Included by the sources that Highway
// compiles once a target, hence the guard.
#if defined(KVPRESS_OPS_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPRESS_OPS_LOAD_INL_H_
#undef KVPRESS_OPS_LOAD_INL_H_
#else
#define KVPRESS_OPS_LOAD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <limits>

#include "kvpress/base/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Tag>
HWY_INLINE hn::Vec<Tag> load(Tag d, const float* from) {
  return hn::LoadU(d, from);
}
template <class Tag>
HWY_INLINE hn::Vec<Tag> load(Tag d, const bf16* from) {
  const hn::Rebind<std::uint16_t, Tag> d16;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<Tag>(), hn::LoadU(d16, &from->bits))));
}
template <class Tag>
HWY_INLINE hn::Vec<Tag> load(Tag d, const f16* from) {
  const hn::Rebind<hwy::float16_t, Tag> d16;
  const auto value = hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
#if HWY_TARGET > HWY_AVX2
  // Without an instruction for it, Highway takes infinity and NaN for numbers from 65,536 on, which float16 does not
  // have.
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  return hn::IfThenElse(hn::Ge(hn::Abs(value), hn::Set(d, 65536.0f)), hn::Or(value, infinity), value);
#else
  return value;
#endif
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
