#include "kvpress/cache/cache_format.h"

#include "kvpress/base/error.h"

namespace kvpress {

std::string_view to_string(const CacheFormat& format) {
  if (format.bits == 8) return "int8";
  if (format.bits == 4) return "int4";
  return to_string(format.type);
}

CacheFormat parse_cache_format(std::string_view text, DType automatic, std::string_view option) {
  if (text == "auto") return automatic;
  if (text == "int8") return {automatic, 8};
  if (text == "int4") return {automatic, 4};
  try {
    return parse_dtype(text, option);
  } catch (const UsageError&) {
    fail_usage("{}: '{}' is not one of auto, float32, bfloat16, float16, int8, int4", option, text);
  }
}

}  // namespace kvpress
