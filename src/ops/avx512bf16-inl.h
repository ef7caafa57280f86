// What the files compiled for AVX-512 BF16 share. Everything here is local to the file that includes it: intrinsics and
// functions of that file only, since an inline function of a library, compiled there, could be the copy that the linker
// keeps for every processor.
#pragma once

#include <cstdint>

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own intrinsics: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

namespace kvpress {
namespace {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using i64 = std::int64_t;

/// sum + the products of 16 pairs of bfloat16.
inline __m512 multiply_pairs(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

inline u32 load_pair(const u16* p) {
  u32 pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return pair;
}

}  // namespace
}  // namespace kvpress
