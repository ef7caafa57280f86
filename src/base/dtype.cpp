#include "kvpress/base/dtype.h"

#include "kvpress/base/error.h"

namespace kvpress {

std::string_view to_string(DType type) {
  switch (type) {
    case DType::f32:
      return "float32";
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
  }
  return "?";
}

DType parse_dtype(std::string_view text, std::string_view option) {
  if (text == "float32" || text == "f32" || text == "fp32") return DType::f32;
  if (text == "bfloat16" || text == "bf16") return DType::bf16;
  if (text == "float16" || text == "f16" || text == "fp16" || text == "half") return DType::f16;
  fail_usage("{}: '{}' is not a number format; use float32, bfloat16 or float16", option, text);
}

}  // namespace kvpress
