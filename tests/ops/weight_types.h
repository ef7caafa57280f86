// What products can be made of here: oneDNN has none of bfloat16 for lesser processors than those with AVX-512.
#pragma once

#include <vector>

#include "kvpress/base/dtype.h"
#include "ops/isa.h"

namespace kvpress::testing {

inline std::vector<DType> weight_types() {
  if (isa() < Isa::avx512) return {DType::f32};
  return {DType::f32, DType::bf16};
}

}  // namespace kvpress::testing
