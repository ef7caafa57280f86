#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ops/product/few_rows_kernels.h"
#include "ops/product/quantized.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/product/quantized_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: this adapts to the target being compiled.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Vectors of at most kColumns floats; kParts of them make kColumns.
using D = hn::CappedTag<float, kColumns>;
using DI = hn::RebindToSigned<D>;
using DU = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kParts = static_cast<int>(kColumns) / kLanes;

/// 32 inputs; fewer come filled up with zeros.
void QuantizeBlock(const float* x, std::int8_t* codes, float* scale, std::int32_t* sums) {
  const D d;
  const DI di;
  const hn::Rebind<std::int8_t, D> d8;
  V largest = hn::Zero(d);
  for (int i = 0; i < kQuantInputs; i += kLanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
  const float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  *scale = most / 127;
  const V inverse = hn::Set(d, most > 0 ? 127 / most : 0.0f);
  for (int half = 0; half < 2; ++half) {
    auto sum = hn::Zero(di);
    for (int part = 0; part < kParts; ++part) {
      const int at = 16 * half + kLanes * part;
      // Infinite inputs have no codes; the rest of their block becomes 0.
      const auto code =
          hn::Min(hn::Max(hn::NearestInt(hn::Mul(hn::LoadU(d, x + at), inverse)), hn::Set(di, -127)), hn::Set(di, 127));
      hn::StoreU(hn::DemoteTo(d8, code), d8, codes + at);
      sum = hn::Add(sum, code);
    }
    sums[half] = hn::GetLane(hn::SumOfLanes(di, sum));
  }
}

void QuantizeInputs(const float* x, std::int64_t in, std::int64_t n_blocks, std::int8_t* codes, float* scales,
                    std::int32_t* sums) {
  for (std::int64_t b = 0; b < n_blocks; ++b) {
    const std::int64_t n = std::min(kQuantInputs, in - b * kQuantInputs);
    float padded[kQuantInputs] = {};
    const float* block = x + b * kQuantInputs;
    if (n < kQuantInputs) block = std::copy_n(block, n, padded) - n;
    QuantizeBlock(block, codes + b * kQuantInputs, scales + b, sums + 2 * b);
  }
}

/// bfloat16 bits, rounded to nearest even, in the upper halves; the lower halves are anything. Finite x only.
HWY_INLINE hn::Vec<DU> rounded_bits(V x) {
  const DU du;
  const auto bits = hn::BitCast(du, x);
  const auto lowest_kept = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  return hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), lowest_kept);
}

/// kLanes columns of two inputs that follow each other.
HWY_INLINE void store_two(V first, V second, const DecodedPanels& to, std::int64_t column, std::int64_t k) {
  const D d;
  const DU du;
  const std::int64_t panel = column / to.width * to.panel_stride;
  const std::int64_t at = column % to.width;
  if (to.type == DType::f32) {
    float* out = static_cast<float*>(to.data) + panel + k * to.width + at;
    hn::StoreU(first, d, out);
    hn::StoreU(second, d, out + to.width);
    return;
  }
  const auto low = hn::ShiftRight<16>(rounded_bits(first));
  const auto high = rounded_bits(second);
  auto* out = static_cast<std::uint16_t*>(to.data) + panel + k * to.width;
  if (to.pair == 2) {
    const auto both = hn::Or(low, hn::And(high, hn::Set(du, 0xffff0000u)));
    hn::StoreU(both, du, reinterpret_cast<std::uint32_t*>(out + 2 * at));
  } else {
    const hn::Rebind<std::uint16_t, D> d16;
    hn::StoreU(hn::TruncateTo(d16, low), d16, out + at);
    hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(high)), d16, out + to.width + at);
  }
}

template <int kBits>
void DecodePanel(const QuantizedPanels& w, std::int64_t panel, std::int64_t column, const DecodedPanels& to) {
  const D d;
  const DI di;
  const DU du;
  const hn::Rebind<hwy::float16_t, D> d16;
  const std::int64_t n_scales = kQuantInputs / w.scale_inputs;
  const auto zero = hn::Set(di, w.zero);
  const auto mask = hn::Set(du, kBits == 8 ? 0xffu : 0xfu);
  const auto* block = static_cast<const std::uint8_t*>(w.data) + panel * w.n_blocks * w.block_bytes;
  for (std::int64_t b = 0; b < w.n_blocks; ++b, block += w.block_bytes) {
    for (int part = 0; part < kParts; ++part) {
      const int first = kLanes * part;  // of the panel's columns
      V scale = hn::Zero(d);
      V min = hn::Zero(d);
      for (int g = 0; g < 8; ++g) {
        const std::int64_t k = b * kQuantInputs + 4 * g;
        if (k >= to.in) break;
        if (g * 4 % w.scale_inputs == 0) {
          const auto* halves =
              reinterpret_cast<const hwy::float16_t*>(block + kBits * 64) + g * 4 / w.scale_inputs * kColumns + first;
          scale = hn::PromoteTo(d, hn::LoadU(d16, halves));
          if (w.has_min) min = hn::PromoteTo(d, hn::LoadU(d16, halves + n_scales * kColumns));
        }
        const std::uint8_t* at = block + 64 * (kBits == 8 ? g : g % 4) + 4 * first;
        auto codes = hn::LoadU(du, reinterpret_cast<const std::uint32_t*>(at));
        if (kBits == 4 && g >= 4) codes = hn::ShiftRight<4>(codes);
        V four[4];
        for (int j = 0; j < 4; ++j) {
          const auto code = hn::BitCast(di, hn::And(codes, mask));
          const V value = hn::Mul(hn::ConvertTo(d, hn::Sub(code, zero)), scale);
          four[j] = w.has_min ? hn::Add(value, min) : value;
          if (k + j >= w.in) four[j] = hn::Zero(d);
          codes = hn::ShiftRight<8>(codes);
        }
        store_two(four[0], four[1], to, column + first, k);
        if (k + 2 < to.in) store_two(four[2], four[3], to, column + first, k + 2);
      }
    }
  }
}

void DecodePanels(const QuantizedPanels& w, std::int64_t panel, std::int64_t column, const DecodedPanels& to) {
  if (w.bits == 8) {
    DecodePanel<8>(w, panel, column, to);
  } else {
    DecodePanel<4>(w, panel, column, to);
  }
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(QuantizeInputs);
HWY_EXPORT(DecodePanels);

void quantize_inputs(const float* x, std::int64_t in, std::int64_t n_blocks, std::int8_t* codes, float* scales,
                     std::int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(QuantizeInputs)(x, in, n_blocks, codes, scales, sums);
}

void decode_panels(const QuantizedPanels& weights, std::int64_t first, std::int64_t n, const DecodedPanels& to) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) HWY_DYNAMIC_DISPATCH(DecodePanels)(weights, first + i, i * kColumns, to);
}

}  // namespace kvpress
#endif  // HWY_ONCE
