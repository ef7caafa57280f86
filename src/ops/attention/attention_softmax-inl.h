// The softmax of attention for vectors of any target: largest scores and exponentials. Included by the sources that
// Highway compiles once a target, hence the guard.
#if defined(KVPRESS_OPS_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPRESS_OPS_ATTENTION_SOFTMAX_INL_H_
#undef KVPRESS_OPS_ATTENTION_SOFTMAX_INL_H_
#else
#define KVPRESS_OPS_ATTENTION_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "ops/attention/attention_kernels.h"
#include "ops/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Vectors of at most 16 floats: padded_head_dim and kKeyTile are multiples of them.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

HWY_INLINE std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(D())); }

HWY_INLINE V exp2_fast(V x) { return exp2_fast(D(), x); }

/// The largest of the first `seen` scores, as an exponent.
HWY_INLINE float largest(const float* scores, std::int64_t seen, float factor) {
  const D d;
  V max = hn::Set(d, kNoMax);
  std::int64_t j = 0;
  for (; j + lanes() <= seen; j += lanes()) max = hn::Max(max, hn::LoadU(d, scores + j));
  float result = hn::GetLane(hn::MaxOfLanes(d, max));
  for (; j < seen; ++j) result = std::max(result, scores[j]);
  return result * factor;
}

/// scores = 2^(factor * scores - shift), for `seen` of them; the rest up to n_keys become 0. Returns the sum. Scores
/// are held for whole tiles, so that whole vectors may be read and written.
template <bool kStore>
HWY_INLINE float exponentials(float* scores, std::int64_t seen, std::int64_t n_keys, float factor, float shift) {
  const D d;
  const V by = hn::Set(d, factor);
  const V minus = hn::Set(d, -shift);
  V sum0 = hn::Zero(d);
  V sum1 = hn::Zero(d);
  std::int64_t j = 0;
  for (; j + 2 * lanes() <= seen; j += 2 * lanes()) {
    const V e0 = exp2_fast(hn::MulAdd(by, hn::LoadU(d, scores + j), minus));
    const V e1 = exp2_fast(hn::MulAdd(by, hn::LoadU(d, scores + j + lanes()), minus));
    sum0 = hn::Add(sum0, e0);
    sum1 = hn::Add(sum1, e1);
    if (kStore) {
      hn::StoreU(e0, d, scores + j);
      hn::StoreU(e1, d, scores + j + lanes());
    }
  }
  for (; j < seen; j += lanes()) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(seen - j));
    const V e = hn::IfThenElseZero(mask, exp2_fast(hn::MulAdd(by, hn::LoadU(d, scores + j), minus)));
    sum0 = hn::Add(sum0, e);
    if (kStore) hn::StoreU(e, d, scores + j);
  }
  if (kStore) {
    for (; j < n_keys; j += lanes()) hn::StoreU(hn::Zero(d), d, scores + j);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
}

HWY_INLINE float power(float x) { return hn::GetLane(exp2_fast(hn::Set(D(), x))); }

/// Takes the scores of one row into its running softmax: they become weights, those from `seen` up to n_keys 0. Returns
/// what the row has accumulated is to be multiplied by.
HWY_INLINE float weigh_scores(float* scores, std::int64_t seen, std::int64_t n_keys, float factor, float& row_max,
                              float& row_sum) {
  const float max = std::max(row_max, largest(scores, seen, factor));
  const float correction = power(row_max - max);
  row_sum = row_sum * correction + exponentials<true>(scores, seen, n_keys, factor, max);
  row_max = max;
  return correction;
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
