// Compiled for processors with AVX-512 VNNI and called on nothing else. Intrinsics and functions of this file only: an
// inline function of a library, compiled here, could be the copy that the linker keeps for every processor.
#include "ops/product/quantized_kernels.h"

#ifdef __AVX512VNNI__

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own intrinsics: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "ops/product/quantized_panels.h"

namespace kvpress {
namespace {

using i32 = std::int32_t;
using i64 = std::int64_t;

/// How far ahead weights are asked for: the processor's own prefetching starts anew at each page.
constexpr i64 kAhead = 2048;

inline i32 load_codes(const std::int8_t* x) {
  i32 four;
  __builtin_memcpy(&four, x, sizeof four);
  return four;
}

inline __m512 halves(const char* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

/// The codes of 4 inputs for each of 16 columns: group g of a block.
template <int kBits>
inline __m512i group(const char* block, int g) {
  if constexpr (kBits == 8) {
    return _mm512_loadu_si512(block + 64 * g);
  } else {
    const __m512i both = _mm512_loadu_si512(block + 64 * (g % 4));
    return _mm512_and_si512(g < 4 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(0xf));
  }
}

struct Kernel {
  template <int kBits, int kScales, bool kMin, int kRows>
  static void sum_panel(const QuantizedPanels& w, const char* block, const QuantizedInputs& x, float* sums,
                        i64 stride) {
    constexpr int kCodeBytes = kBits * 64;
    constexpr int kGroups = 8 / kScales;  // that share a scale
    __m512 total[kRows];
    for (auto& it : total) it = _mm512_setzero_ps();
    for (i64 b = 0; b < w.n_blocks; ++b, block += w.block_bytes) {
      for (int line = 0; line < kBits; ++line) _mm_prefetch(block + kAhead + 64 * line, _MM_HINT_T0);
      for (int s = 0; s < kScales; ++s) {
        __m512i dot[kRows];
        i32 sum[kRows];
        for (int r = 0; r < kRows; ++r) {
          const i32* of = x.sums + 2 * (r * w.n_blocks + b);
          sum[r] = kScales == 1 ? of[0] + of[1] : of[s];
          dot[r] = _mm512_set1_epi32(-w.zero * sum[r]);
        }
        for (int g = s * kGroups; g < (s + 1) * kGroups; ++g) {
          const __m512i codes = group<kBits>(block, g);
          for (int r = 0; r < kRows; ++r) {
            const i32 inputs = load_codes(x.codes + (r * w.n_blocks + b) * kQuantInputs + 4 * g);
            dot[r] = _mm512_dpbusd_epi32(dot[r], codes, _mm512_set1_epi32(inputs));
          }
        }
        const __m512 scale = halves(block + kCodeBytes + 32 * s);
        for (int r = 0; r < kRows; ++r) {
          const float input_scale = x.scales[r * w.n_blocks + b];
          total[r] =
              _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r]), _mm512_mul_ps(scale, _mm512_set1_ps(input_scale)), total[r]);
          if constexpr (kMin) {
            const __m512 min = halves(block + kCodeBytes + 32 * (kScales + s));
            total[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(input_scale * static_cast<float>(sum[r])), total[r]);
          }
        }
      }
    }
    for (int r = 0; r < kRows; ++r) _mm512_storeu_ps(sums + r * stride, total[r]);
  }
};

}  // namespace

QuantizedKernel avx512vnni_quantized_kernel() { return QuantizedPanelSums<Kernel>::multiply; }

}  // namespace kvpress

#else

namespace kvpress {
QuantizedKernel avx512vnni_quantized_kernel() { return nullptr; }
}  // namespace kvpress

#endif
