// Which of the processor's instructions are used: the widest it has, or no more than KVPRESS_ISA names. One choice for
// all kernels, ours and oneDNN's, made when it is first asked for.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// From the least to the most. Each has all before it. Other processors than x86-64 have `baseline` and `native`. Last
/// comes what is for tests only.
enum class Isa : std::uint8_t {
  baseline,      ///< what every processor of the architecture has (x86-64: SSE2; oneDNN: SSE4.1)
  avx2,          ///< with FMA and F16C
  avx512,        ///< F, BW, VL, DQ
  avx512_bf16,   ///< products of bfloat16
  amx,           ///< tiles, which attention of many queries, losses, SwiGLU and oneDNN's products use
  native,        ///< all there is
  amx_software,  ///< avx512_bf16, with what is ours of it on a software model of tiles
};

std::string_view to_string(Isa isa);

/// Those that this processor has, from the least to the most, without what is for tests.
std::span<const Isa> available_isas();

/// Those that KVPRESS_ISA may name here.
std::vector<Isa> named_isas();

/// The choice: the most, or the one that KVPRESS_ISA names. Throws UsageError when KVPRESS_ISA names none or one that
/// this processor does not have.
Isa isa();

/// The library of products and its version: "oneDNN 3.7.1".
std::string product_library();

/// Whether products in bfloat16 are faster than in float32.
inline bool has_fast_bfloat16() { return isa() == Isa::avx512_bf16 || isa() == Isa::amx || isa() == Isa::amx_software; }

}  // namespace kvpress
