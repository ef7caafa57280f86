// Compiled for processors with AVX2 and called on nothing else. Intrinsics and functions of this file only: an
// inline function of a library, compiled here, could be the copy that the linker keeps for every processor.
#include "ops/product/quantized_kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

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

inline __m256 halves(const char* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

inline __m256i pair_sums(__m256i x) { return _mm256_madd_epi16(x, _mm256_set1_epi16(1)); }

/// dot[c] += codes of 8 columns, 4 each, times 4 inputs. 8-bit codes become signed, so that no sum of two products
/// overflows 16 bits: |code - 128| * 127 * 2 < 2^15.
template <int kBits>
inline __m256i add_products(__m256i dot, __m256i codes, __m256i inputs) {
  if constexpr (kBits == 8) {
    const __m256i centred = _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80)));
    const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(inputs, centred));
    return _mm256_add_epi32(dot, pair_sums(products));
  } else {
    return _mm256_add_epi32(dot, pair_sums(_mm256_maddubs_epi16(codes, inputs)));
  }
}

struct Kernel {
  template <int kBits, int kScales, bool kMin, int kRows>
  static void sum_panel(const QuantizedPanels& w, const char* block, const QuantizedInputs& x, float* sums,
                        i64 stride) {
    constexpr int kCodeBytes = kBits * 64;
    constexpr int kGroups = 8 / kScales;  // that share a scale
    // What add_products() subtracted from 8-bit codes already.
    const i32 zero = kBits == 8 ? w.zero - 128 : w.zero;
    __m256 total[kRows][2];
    for (auto& row : total) row[0] = row[1] = _mm256_setzero_ps();
    for (i64 b = 0; b < w.n_blocks; ++b, block += w.block_bytes) {
      for (int line = 0; line < kBits; ++line) _mm_prefetch(block + kAhead + 64 * line, _MM_HINT_T0);
      for (int s = 0; s < kScales; ++s) {
        __m256i dot[kRows][2];
        i32 sum[kRows];
        for (int r = 0; r < kRows; ++r) {
          const i32* of = x.sums + 2 * (r * w.n_blocks + b);
          sum[r] = kScales == 1 ? of[0] + of[1] : of[s];
          dot[r][0] = dot[r][1] = _mm256_set1_epi32(-zero * sum[r]);
        }
        for (int g = s * kGroups; g < (s + 1) * kGroups; ++g) {
          for (int half = 0; half < 2; ++half) {
            const char* at = block + 64 * (kBits == 8 ? g : g % 4) + 32 * half;
            __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
            if constexpr (kBits == 4) {
              codes = _mm256_and_si256(g < 4 ? codes : _mm256_srli_epi16(codes, 4), _mm256_set1_epi8(0xf));
            }
            for (int r = 0; r < kRows; ++r) {
              const i32 inputs = load_codes(x.codes + (r * w.n_blocks + b) * kQuantInputs + 4 * g);
              dot[r][half] = add_products<kBits>(dot[r][half], codes, _mm256_set1_epi32(inputs));
            }
          }
        }
        for (int half = 0; half < 2; ++half) {
          const __m256 scale = halves(block + kCodeBytes + 32 * s + 16 * half);
          for (int r = 0; r < kRows; ++r) {
            const float input_scale = x.scales[r * w.n_blocks + b];
            total[r][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[r][half]),
                                             _mm256_mul_ps(scale, _mm256_set1_ps(input_scale)), total[r][half]);
            if constexpr (kMin) {
              const __m256 min = halves(block + kCodeBytes + 32 * (kScales + s) + 16 * half);
              total[r][half] =
                  _mm256_fmadd_ps(min, _mm256_set1_ps(input_scale * static_cast<float>(sum[r])), total[r][half]);
            }
          }
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int half = 0; half < 2; ++half) _mm256_storeu_ps(sums + r * stride + 8 * half, total[r][half]);
    }
  }
};

}  // namespace

QuantizedKernel avx2_quantized_kernel() { return QuantizedPanelSums<Kernel>::multiply; }

}  // namespace kvpress

#else

namespace kvpress {
QuantizedKernel avx2_quantized_kernel() { return nullptr; }
}  // namespace kvpress

#endif
