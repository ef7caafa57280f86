// Compiled for processors with AVX-512 BF16 and called on nothing else. Intrinsics and functions of this file only: an
// inline function of a library, compiled here, could be the copy that the linker keeps for every processor.
#include "ops/product/twelve_bit_kernels.h"

#ifdef __AVX512BF16__

#include "ops/avx512bf16-inl.h"

namespace kvpress {
namespace {

using u8 = std::uint8_t;

constexpr int kVectors = 4;  // of a panel's columns

/// How far ahead of the products weights are asked for: the processor's own prefetching starts anew at each page.
constexpr i64 kAhead = 2048;

/// Makes bfloat16 of a panel's four vectors of columns, for one pair of inputs at a time.
class Decoder {
 public:
  explicit Decoder(const TwelveBitPanels& weights) {
    const __m512i code = _mm512_and_si512(_mm512_set1_epi16(0xf), word_index());
    const __m512i exponents =
        _mm512_slli_epi16(_mm512_add_epi16(code, _mm512_set1_epi16(static_cast<short>(weights.first_exponent))), 7);
    exponents_ = _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(code, code), exponents);
  }

  void pair(const u8* from, __m512i (&weights)[kVectors]) const {
    const __m512i codes = _mm512_loadu_si512(from);
    const __m512i first = _mm512_loadu_si512(from + 64);
    const __m512i second = _mm512_loadu_si512(from + 128);
    weights[0] = join(_mm512_slli_epi16(first, 8), first, codes);
    weights[1] = join(first, _mm512_srli_epi16(first, 8), _mm512_srli_epi16(codes, 4));
    weights[2] = join(_mm512_slli_epi16(second, 8), second, _mm512_srli_epi16(codes, 8));
    weights[3] = join(second, _mm512_srli_epi16(second, 8), _mm512_srli_epi16(codes, 12));
  }

 private:
  static __m512i word_index() {
    const __m512i dword = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i even = _mm512_slli_epi32(dword, 1);
    return _mm512_or_si512(even, _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(1)), 16));
  }

  /// The highest bit of `sign`, the 7 lowest of `mantissa`, and the exponent of the code in the 4 lowest bits of
  /// `codes`; the bits between are anything.
  __m512i join(__m512i sign, __m512i mantissa, __m512i codes) const {
    constexpr int kFirstPicks = 0xca;  // a ? b : c
    constexpr int kAndOr = 0xea;       // (a & b) | c
    const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi16(-0x8000), sign, mantissa, kFirstPicks);
    // The table stands twice: bit 4 of an index counts, those above do not.
    return _mm512_ternarylogic_epi32(both, _mm512_set1_epi16(-0x7f81), _mm512_permutexvar_epi16(codes, exponents_),
                                     kAndOr);
  }

  __m512i exponents_;
};

/// The inputs of pair p of a row; where there is but one, the other is 0.
inline __m512i broadcast_pair(const u16* x, i64 p, i64 in) {
  const u32 pair = 2 * p + 2 <= in ? load_pair(x + 2 * p) : x[2 * p];
  return _mm512_set1_epi32(static_cast<int>(pair));
}

/// A single row takes even and odd pairs to sums of their own, since one instruction waits for the sum of the one
/// before.
template <int kRows>
void multiply_rows(const TwelveBitPanels& weights, const u16* x, const u8* w, float* sums, i64 stride) {
  constexpr int kSets = kRows == 1 ? 2 : 1;
  const Decoder decoder(weights);
  __m512 sum[kSets][kRows][kVectors];
  for (auto& set : sum) {
    for (auto& row : set) {
      for (auto& vector : row) vector = _mm512_setzero_ps();
    }
  }
  const auto add = [&](__m512(&to)[kRows][kVectors], i64 p) {
    __m512i pair[kVectors];
    decoder.pair(w, pair);
    for (i64 line = 0; line < kTwelveBitBytes; line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(w + kAhead + line), _MM_HINT_T0);
    }
    w += kTwelveBitBytes;
    for (int r = 0; r < kRows; ++r) {
      const __m512i inputs = broadcast_pair(x + r * weights.in, p, weights.in);
      for (int v = 0; v < kVectors; ++v) to[r][v] = multiply_pairs(to[r][v], inputs, pair[v]);
    }
  };
  i64 p = 0;
  for (; p + kSets <= weights.n_pairs; p += kSets) {
    for (int s = 0; s < kSets; ++s) add(sum[s], p + s);
  }
  for (; p < weights.n_pairs; ++p) add(sum[0], p);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const __m512 total = kSets == 1 ? sum[0][r][v] : _mm512_add_ps(sum[0][r][v], sum[kSets - 1][r][v]);
      _mm512_storeu_ps(sums + r * stride + 16 * v, total);
    }
  }
}

const u8* panel_of(const TwelveBitPanels& weights, i64 panel) {
  return static_cast<const u8*>(weights.data) + panel * weights.n_pairs * kTwelveBitBytes;
}

void multiply(const TwelveBitPanels& weights, const u16* x, i64 n_rows, i64 panel, float* sums, i64 stride) {
  const u8* w = panel_of(weights, panel);
  switch (n_rows) {
    case 1:
      return multiply_rows<1>(weights, x, w, sums, stride);
    case 2:
      return multiply_rows<2>(weights, x, w, sums, stride);
    case 3:
      return multiply_rows<3>(weights, x, w, sums, stride);
    default:
      return multiply_rows<4>(weights, x, w, sums, stride);
  }
}

void decode(const TwelveBitPanels& weights, i64 panel, i64 n, u16* const* out, i64 step) {
  const Decoder decoder(weights);
  const u8* w = panel_of(weights, panel);
  for (i64 p = 0; p < weights.n_pairs; ++p, w += kTwelveBitBytes) {
    __m512i pair[kVectors];
    decoder.pair(w, pair);
    for (i64 v = 0; v < n; ++v) _mm512_storeu_si512(out[v] + p * step, pair[v]);
  }
}

void pack(const u16* rows, i64 stride, const TwelveBitPanels& panels, void* panel) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i offsets = _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int>(stride / 2)));
  const __m512i first = _mm512_set1_epi16(static_cast<short>(panels.first_exponent));
  const __m512i sign = _mm512_set1_epi16(0x80), mantissa = _mm512_set1_epi16(0x7f), byte = _mm512_set1_epi16(0xff);
  auto* to = static_cast<u8*>(panel);
  for (i64 p = 0; p < panels.n_pairs; ++p, to += kTwelveBitBytes) {
    __m512i codes = _mm512_setzero_si512();
    __m512i rest[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const __m512i bits = _mm512_i32gather_epi32(offsets, rows + 16 * v * stride + 2 * p, 4);
      const __m512i exponent = _mm512_and_si512(_mm512_srli_epi16(bits, 7), byte);
      const __m512i code = _mm512_sub_epi16(exponent, first);
      const __mmask32 coded = _mm512_cmpgt_epi16_mask(code, _mm512_setzero_si512()) &
                              _mm512_cmplt_epi16_mask(code, _mm512_set1_epi16(16)) &
                              _mm512_test_epi16_mask(exponent, exponent);
      const __mmask32 kept = coded | _mm512_testn_epi16_mask(exponent, exponent);
      codes =
          _mm512_or_si512(codes, _mm512_maskz_sllv_epi16(coded, code, _mm512_set1_epi16(static_cast<short>(4 * v))));
      rest[v] = _mm512_maskz_mov_epi16(
          kept, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(bits, 8), sign), _mm512_and_si512(bits, mantissa)));
    }
    _mm512_storeu_si512(to, codes);
    _mm512_storeu_si512(to + 64, _mm512_or_si512(rest[0], _mm512_slli_epi16(rest[1], 8)));
    _mm512_storeu_si512(to + 128, _mm512_or_si512(rest[2], _mm512_slli_epi16(rest[3], 8)));
  }
}

constexpr TwelveBitKernels kKernels{pack, multiply, decode};

}  // namespace

const TwelveBitKernels* avx512bf16_twelve_bit_kernels() { return &kKernels; }

}  // namespace kvpress

#else

namespace kvpress {
const TwelveBitKernels* avx512bf16_twelve_bit_kernels() { return nullptr; }
}  // namespace kvpress

#endif
