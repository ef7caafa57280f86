// What the kernels of quantized_avx2.cpp and quantized_avx512vnni.cpp share: the choice of the one compiled for these
// weights and so many rows. `Kernel` is a type of an anonymous namespace, so that what is compiled here for a newer
// processor stays in its file.
#pragma once

#include "ops/product/quantized_kernels.h"

namespace kvpress {

/// Kernel::sum_panel<bits, scales of a block, has_min, rows>(weights, panel, inputs, sums, stride): one panel.
template <class Kernel>
struct QuantizedPanelSums {
  template <int kBits, int kScales, bool kMin>
  static void sum_panels(const QuantizedPanels& w, const QuantizedInputs& x, std::int64_t n_rows, std::int64_t first,
                         std::int64_t n, float* sums, std::int64_t stride) {
    const std::int64_t panel_bytes = w.n_blocks * w.block_bytes;
    const char* panel = static_cast<const char*>(w.data) + first * panel_bytes;
    for (std::int64_t i = 0; i < n; ++i, panel += panel_bytes, sums += 16) {
      switch (n_rows) {
        case 1:
          Kernel::template sum_panel<kBits, kScales, kMin, 1>(w, panel, x, sums, stride);
          break;
        case 2:
          Kernel::template sum_panel<kBits, kScales, kMin, 2>(w, panel, x, sums, stride);
          break;
        case 3:
          Kernel::template sum_panel<kBits, kScales, kMin, 3>(w, panel, x, sums, stride);
          break;
        default:
          Kernel::template sum_panel<kBits, kScales, kMin, 4>(w, panel, x, sums, stride);
      }
    }
  }

  /// A QuantizedKernel.
  static void multiply(const QuantizedPanels& w, const QuantizedInputs& x, std::int64_t n_rows, std::int64_t first,
                       std::int64_t n, float* sums, std::int64_t stride) {
    static constexpr QuantizedKernel kFunctions[2][2][2] = {
        {{sum_panels<4, 1, false>, sum_panels<4, 1, true>}, {sum_panels<4, 2, false>, sum_panels<4, 2, true>}},
        {{sum_panels<8, 1, false>, sum_panels<8, 1, true>}, {sum_panels<8, 2, false>, sum_panels<8, 2, true>}}};
    kFunctions[w.bits == 8 ? 1 : 0][w.scale_inputs == 16 ? 1 : 0][w.has_min ? 1 : 0](w, x, n_rows, first, n, sums,
                                                                                     stride);
  }
};

}  // namespace kvpress
