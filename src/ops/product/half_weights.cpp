#include "ops/product/half_weights.h"

#include <algorithm>
#include <vector>

#include "kvpress/base/threads.h"
#include "ops/product/few_rows.h"
#include "ops/rowwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/product/half_weights.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/highway.h>

#include "ops/load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One vector of 16 columns of all inputs.
template <typename T>
void decode_columns(const PackedWeights& weights, std::int64_t vector, std::int64_t column, const DecodedPanels& to) {
  const hn::CappedTag<float, kColumns> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t from = vector * kColumns;
  const T* w = static_cast<const T*>(weights.data) + from / weights.width * weights.panel_stride + from % weights.width;
  float* out = static_cast<float*>(to.data) + column / to.width * to.panel_stride + column % to.width;
  for (std::int64_t k = 0; k < weights.in; ++k, w += weights.width, out += to.width) {
    for (std::int64_t c = 0; c < kColumns; c += lanes) hn::StoreU(load(d, w + c), d, out + c);
  }
  for (std::int64_t k = weights.in; k < to.in; ++k, out += to.width) std::fill_n(out, kColumns, 0.0f);
}

void DecodeColumns(const PackedWeights& weights, DType type, std::int64_t vector, std::int64_t column,
                   const DecodedPanels& to) {
  if (type == DType::bf16) {
    decode_columns<bf16>(weights, vector, column, to);
  } else {
    decode_columns<f16>(weights, vector, column, to);
  }
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(DecodeColumns);

namespace {

/// Columns of a panel: an input's are a cache line, and a kernel passes over memory in order.
constexpr std::int64_t kPanel = 2 * kColumns;

/// halves [n, in] to [in][kPanel].
void pack_panel(const std::uint16_t* halves, std::int64_t n, std::int64_t in, std::uint16_t* to) {
  constexpr std::int64_t kInputs = 32;  // a cache line of each row
  for (std::int64_t first = 0; first < in; first += kInputs) {
    const std::int64_t end = std::min(first + kInputs, in);
    for (std::int64_t c = 0; c < n; ++c) {
      for (std::int64_t k = first; k < end; ++k) to[k * kPanel + c] = halves[c * in + k];
    }
  }
}

}  // namespace

HalfWeights::HalfWeights(std::int64_t out, std::int64_t in, DType type, const WeightRows& rows, PageArena& arena)
    : type_(type) {
  const std::int64_t n_panels = (out + kPanel - 1) / kPanel;
  bytes_ = static_cast<std::size_t>(n_panels * in * kPanel) * size_of(type);
  memory_ = arena.take(bytes_);
  panels_ = {memory_.get(), out, in, kPanel, in * kPanel};
  auto* const packed = reinterpret_cast<std::uint16_t*>(memory_.get());
  parallel_for(n_panels, [&](std::int64_t p) {
    thread_local AlignedVector<float> values;
    thread_local std::vector<std::uint16_t> halves;
    const std::int64_t n = std::min(kPanel, out - p * kPanel);
    values.resize(static_cast<std::size_t>(n * in));
    halves.resize(values.size());
    rows(p * kPanel, n, values.data());
    from_float(values.data(), halves.data(), type, n * in);
    pack_panel(halves.data(), n, in, packed + p * in * kPanel);
  });
}

void HalfWeights::multiply(const Activations& x, std::span<const float> bias, Activation activation, bool accumulate,
                           const Activations& y) const {
  few_rows(panels_, half_few_rows_kernel(type_), x, bias, activation, accumulate, y);
}

void HalfWeights::decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const {
  parallel_for(n, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(DecodeColumns)(panels_, type_, first + i, i * kColumns, to);
  });
}

}  // namespace kvpress
#endif  // HWY_ONCE
