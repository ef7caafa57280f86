#pragma once

#include "ops/attention/attention_kernels.h"

namespace kvpress {

/// Null where the compiler was not told to use these instructions. The caller asks the processor whether it has them.
const AttentionKernels* avx512bf16_attention_kernels();

/// Its attend_few(), in a file of its own.
void avx512bf16_attend_few(const AttentionRows& rows, DType, const void* keys, const void* values,
                           const std::int32_t* seen);

}  // namespace kvpress
