#include "ops/isa.h"

#include <fmt/ranges.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "ops/product/onednn_compat.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kvpress {
namespace {

#if defined(__x86_64__)
/// Tiles with bfloat16, and the system's leave to use them, which it gives when asked. (oneDNN could tell, but it takes
/// no limit any more once it was asked.)
bool has_amx() {
  constexpr unsigned kTile = 1u << 24;
  constexpr unsigned kBf16 = 1u << 22;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTile) == 0 || (edx & kBf16) == 0) return false;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

std::vector<Isa> find_isas() {
  std::vector<Isa> isas = {Isa::baseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto add = [&isas](Isa isa, bool there) {
    // None without those before it.
    if (there && static_cast<int>(isas.back()) + 1 == static_cast<int>(isa)) isas.push_back(isa);
  };
  add(Isa::avx2, __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0);
  add(Isa::avx512, __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                       __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0);
  add(Isa::avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
  add(Isa::amx, has_amx());
#else
  isas.push_back(Isa::native);
#endif
  return isas;
}

#if defined(__x86_64__)
dnnl::cpu_isa onednn_isa(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return dnnl::cpu_isa::sse41;
    case Isa::avx2:
      return dnnl::cpu_isa::avx2;
    case Isa::avx512:
      return dnnl::cpu_isa::avx512_core;
    case Isa::avx512_bf16:
    case Isa::amx_software:
      return dnnl::cpu_isa::avx512_core_bf16;
    default:
      return onednn::kAnyIsa;
  }
}
#endif

/// Holds all kernels to it.
void limit_to(Isa isa) {
#if defined(__x86_64__)
  // Highway's targets count down: a greater bit is an older processor's. What is wider than allowed is disabled.
  const std::int64_t narrowest_forbidden = isa == Isa::baseline ? HWY_AVX2 : HWY_AVX3;
  if (isa < Isa::avx512) hwy::DisableTargets((narrowest_forbidden << 1) - 1);
  if (dnnl::set_max_cpu_isa(onednn_isa(isa)) != dnnl::status::success) {
    fail("KVPRESS_ISA: oneDNN was used before it could be held to {}", to_string(isa));
  }
#else
  (void)isa;
#endif
}

Isa choose() {
  const char* text = std::getenv("KVPRESS_ISA");  // NOLINT(concurrency-mt-unsafe): nobody writes the environment
  if (text == nullptr || *text == '\0') return available_isas().back();
  const std::vector<Isa> there = named_isas();
  for (const Isa it : there) {
    if (to_string(it) != text) continue;
    if (it != available_isas().back()) limit_to(it);
    return it;
  }
  std::vector<std::string_view> names;
  for (const Isa it : there) names.push_back(to_string(it));
  fail_usage("KVPRESS_ISA: '{}' is not among what this processor has: {}", text, fmt::join(names, ", "));
}

}  // namespace

std::string_view to_string(Isa isa) {
  constexpr std::string_view kNames[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx", "native", "amx_software"};
  return kNames[static_cast<std::size_t>(isa)];
}

std::span<const Isa> available_isas() {
  static const std::vector<Isa> isas = find_isas();
  return isas;
}

std::vector<Isa> named_isas() {
  std::vector<Isa> isas(available_isas().begin(), available_isas().end());
  const auto bf16 = std::find(isas.begin(), isas.end(), Isa::avx512_bf16);
  if (bf16 != isas.end()) isas.insert(bf16 + 1, Isa::amx_software);
  return isas;
}

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

std::string product_library() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace kvpress
