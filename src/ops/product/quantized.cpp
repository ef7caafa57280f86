#include "ops/product/quantized.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "kvpress/base/error.h"
#include "ops/isa.h"
#include "ops/product/few_rows.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

std::int64_t blocks_of(std::int64_t in) { return (in + kQuantInputs - 1) / kQuantInputs; }

std::uint32_t four_codes(const std::uint8_t* codes) {
  std::uint32_t four = 0;
  std::memcpy(&four, codes, sizeof four);
  return four;
}

/// Writes one panel of up to kColumns rows.
void pack_panel(const QuantizedPanels& panels, std::int64_t n_rows, const QuantParts& parts, std::byte* panel) {
  const std::int64_t padded = panels.n_blocks * kQuantInputs;
  const std::int64_t n_scales = kQuantInputs / panels.scale_inputs;  // of a block and row
  const std::int64_t code_bytes = panels.bits * 64;
  for (std::int64_t c = 0; c < n_rows; ++c) {
    for (std::int64_t b = 0; b < panels.n_blocks; ++b) {
      std::byte* block = panel + b * panels.block_bytes;
      const std::uint8_t* codes = parts.codes + c * padded + b * kQuantInputs;
      const int n_groups = panels.bits == 8 ? 8 : 4;
      for (int g = 0; g < n_groups; ++g) {
        std::uint32_t four = four_codes(codes + 4 * g);
        if (panels.bits == 4) four |= four_codes(codes + 16 + 4 * g) << 4;
        std::memcpy(block + 64 * g + 4 * c, &four, sizeof four);
      }
      for (std::int64_t s = 0; s < n_scales; ++s) {
        const std::int64_t from = (c * panels.n_blocks + b) * n_scales + s;
        std::byte* scale = block + code_bytes + 2 * (kColumns * s + c);
        const f16 half = from_float<f16>(parts.scales[from]);
        std::memcpy(scale, &half, sizeof half);
        if (!panels.has_min) continue;
        const f16 min = from_float<f16>(parts.mins[from]);
        std::memcpy(scale + 2 * kColumns * n_scales, &min, sizeof min);
      }
    }
  }
}

constexpr float kLargestHalf = 65504.0f;
bool within_half(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::fabs(x) <= kLargestHalf; });
}

float half_at(const std::byte* from) {
  f16 value;
  std::memcpy(&value, from, sizeof value);
  return to_float(value);
}

}  // namespace

QuantizedWeights::QuantizedWeights(std::int64_t out, std::int64_t in, const QuantFormat& format, const QuantRows& rows,
                                   PageArena& arena) {
  const std::int64_t n_blocks = blocks_of(in);
  const std::int64_t n_scales = kQuantInputs / format.scale_inputs;
  const std::int64_t block_bytes = format.bits * 64 + 2 * kColumns * n_scales * (format.has_min ? 2 : 1);
  const std::int64_t n_panels = (out + kColumns - 1) / kColumns;
  bytes_ = static_cast<std::size_t>(n_panels * n_blocks * block_bytes);
  memory_ = arena.take(bytes_);
  panels_ = {memory_.get(), out,           in, n_blocks, block_bytes, format.bits, format.scale_inputs,
             format.zero,   format.has_min};
  std::atomic<bool> fits = true;
#pragma omp parallel for schedule(static)
  for (std::int64_t p = 0; p < n_panels; ++p) {
    const std::int64_t n_rows = std::min(kColumns, out - p * kColumns);
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(kColumns * n_blocks * kQuantInputs), 0);
    std::vector<float> scales(static_cast<std::size_t>(kColumns * n_blocks * n_scales), 0.0f);
    std::vector<float> mins(format.has_min ? scales.size() : 0, 0.0f);
    const QuantParts parts{codes.data(), scales.data(), format.has_min ? mins.data() : nullptr};
    rows(p * kColumns, n_rows, parts);
    if (!within_half(scales) || !within_half(mins)) fits = false;
    pack_panel(panels_, n_rows, parts, memory_.get() + p * n_blocks * block_bytes);
  }
  if (!fits) {
    fail(
        "weights [{}, {}] are too large, or no numbers, to be held in {} bits with scales in float16; hold them as "
        "float",
        out, in, format.bits);
  }
}

void QuantizedWeights::multiply(const Activations& x, std::span<const float> bias, Activation activation,
                                bool accumulate, const Activations& y) const {
  quantized_few_rows(panels_, quantized_kernels().front(), x, bias, activation, accumulate, y);
}

void QuantizedWeights::decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const {
  decode_panels(panels_, first, n, to);
}

std::span<const std::byte> QuantizedWeights::memory(std::int64_t first, std::int64_t n) const {
  const std::int64_t panel_bytes = panels_.n_blocks * panels_.block_bytes;
  return {memory_.get() + first * panel_bytes, static_cast<std::size_t>(n * panel_bytes)};
}

void quantize_row(const float* weights, std::int64_t in, const QuantFormat& format, const QuantParts& to) {
  for (std::int64_t b = 0; b < blocks_of(in); ++b) {
    const float* x = weights + b * kQuantInputs;
    const std::int64_t n = std::min(kQuantInputs, in - b * kQuantInputs);
    const auto [low, high] = std::minmax_element(x, x + n);
    std::uint8_t* codes = to.codes + b * kQuantInputs;
    const float scale = format.has_min ? (*high - *low) / 15 : std::max(std::fabs(*high), std::fabs(*low)) / 127;
    const float inverse = scale > 0 ? 1 / scale : 0;
    to.scales[b] = scale;
    if (format.has_min) to.mins[b] = *low;
    for (std::int64_t i = 0; i < n; ++i) {
      // Anything a code can hold, also where x is no number: conversions beyond the type are undefined.
      const float exact = format.has_min ? (x[i] - *low) * inverse + 0.5f : std::round(x[i] * inverse) + 128;
      const float most = format.has_min ? 15.0f : 255.0f;
      codes[i] = exact > 0 ? static_cast<std::uint8_t>(std::min(exact, most)) : std::uint8_t{0};
    }
    // A code for 0 where there are no weights.
    for (std::int64_t i = n; i < kQuantInputs; ++i) codes[i] = static_cast<std::uint8_t>(format.zero);
  }
}

void quantized_plain(const QuantizedPanels& w, const QuantizedInputs& x, std::int64_t n_rows, std::int64_t first,
                     std::int64_t n, float* sums, std::int64_t stride) {
  const std::int64_t n_scales = kQuantInputs / w.scale_inputs;
  for (std::int64_t r = 0; r < n_rows; ++r) {
    for (std::int64_t c = 0; c < n * kColumns; ++c) {
      const std::byte* block =
          static_cast<const std::byte*>(w.data) + (first + c / kColumns) * w.n_blocks * w.block_bytes;
      const std::int64_t column = c % kColumns;
      float total = 0;
      for (std::int64_t b = 0; b < w.n_blocks; ++b, block += w.block_bytes) {
        const std::int8_t* inputs = x.codes + (r * w.n_blocks + b) * kQuantInputs;
        for (std::int64_t s = 0; s < n_scales; ++s) {
          std::int32_t dot = 0;
          std::int32_t sum = 0;
          for (std::int64_t i = s * w.scale_inputs; i < (s + 1) * w.scale_inputs; ++i) {
            const std::int64_t at = i / 4 * 64 + column * 4 + i % 4;
            int code = 0;
            if (w.bits == 8) {
              code = std::to_integer<int>(block[at]);
            } else {
              code = i < 16 ? std::to_integer<int>(block[at]) & 0xf : std::to_integer<int>(block[at - 256]) >> 4;
            }
            dot += (code - w.zero) * inputs[i];
            sum += inputs[i];
          }
          const std::byte* scale = block + w.bits * 64 + 2 * (kColumns * s + column);
          const float input_scale = x.scales[r * w.n_blocks + b];
          total += static_cast<float>(dot) * (half_at(scale) * input_scale);
          if (w.has_min) {
            total += half_at(scale + 2 * kColumns * n_scales) * (input_scale * static_cast<float>(sum));
          }
        }
      }
      sums[r * stride + c] = total;
    }
  }
}

std::span<const QuantizedKernel> quantized_kernels() {
  static const std::vector<QuantizedKernel> kernels = [] {
    std::vector<QuantizedKernel> found;
#if defined(__x86_64__)
    if (isa() >= Isa::avx512 && __builtin_cpu_supports("avx512vnni") != 0) {
      found.push_back(avx512vnni_quantized_kernel());
    }
    if (isa() >= Isa::avx2) found.push_back(avx2_quantized_kernel());
#endif
    std::erase(found, nullptr);
    found.push_back(quantized_plain);
    return found;
  }();
  return kernels;
}

void quantized_few_rows(const QuantizedPanels& weights, QuantizedKernel kernel, const Activations& x,
                        std::span<const float> bias, Activation activation, bool accumulate, const Activations& y) {
  thread_local AlignedVector<float> values, scales;
  thread_local AlignedVector<std::int8_t> codes;
  thread_local AlignedVector<std::int32_t> sums_of_codes;
  const auto n_blocks = static_cast<std::size_t>(weights.n_blocks);
  const auto n_rows = static_cast<std::size_t>(x.rows);
  values.resize(static_cast<std::size_t>(weights.in));
  codes.resize(n_rows * n_blocks * kQuantInputs);
  scales.resize(n_rows * n_blocks);
  sums_of_codes.resize(n_rows * n_blocks * 2);
  for (std::size_t r = 0; r < n_rows; ++r) {
    to_float(x.block(static_cast<std::int64_t>(r), 1).data, x.type, values.data(), weights.in);
    quantize_inputs(values.data(), weights.in, weights.n_blocks, &codes[r * n_blocks * kQuantInputs],
                    &scales[r * n_blocks], &sums_of_codes[r * n_blocks * 2]);
  }
  // The threads below would each see their own thread_local.
  const QuantizedInputs all{codes.data(), scales.data(), sums_of_codes.data()};
  const std::int64_t n_panels = (weights.out + kColumns - 1) / kColumns;
  for_columns(weights.out, {1, n_panels, n_panels * weights.n_blocks * weights.block_bytes}, bias, activation,
              accumulate, y, [&](std::int64_t row, std::int64_t some, std::int64_t first, std::int64_t n, float* sums) {
                const std::int64_t block = row * weights.n_blocks;
                kernel(weights, {all.codes + block * kQuantInputs, all.scales + block, all.sums + 2 * block}, some,
                       first, n, sums, kSumStride);
              });
}

}  // namespace kvpress
