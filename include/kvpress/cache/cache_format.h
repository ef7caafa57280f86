// How a cache stores its numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/base/dtype.h"

namespace kvpress {

/// Of 8 or 4 bits are a head's entries but its newest: groups of 32, as soon as `residual` newer ones are there. So
/// KIVI does (https://arxiv.org/abs/2402.02750); the format of a group is ops/quantized_kv.h's.
struct CacheFormat {
  DType type = DType::f32;  ///< of the newest entries or, without `bits`, of all
  int bits = 0;             ///< 8, 4, or 0: none are quantized
  std::int64_t residual = 128;

  CacheFormat() = default;
  CacheFormat(DType of_all) : type(of_all) {}  // NOLINT(google-explicit-constructor): a type is a format
  CacheFormat(DType newest, int bits_, std::int64_t residual_ = 128) : type(newest), bits(bits_), residual(residual_) {}

  bool operator==(const CacheFormat&) const = default;
};

/// "float32", "bfloat16", "float16", "int8" or "int4".
std::string_view to_string(const CacheFormat& format);

/// The inverse, and "auto": all of `automatic`, which is the newest entries' type with int8 and int4, too. Throws
/// UsageError naming `option`.
CacheFormat parse_cache_format(std::string_view text, DType automatic, std::string_view option);

}  // namespace kvpress
