#pragma once

#include "kvpress/ops/attention_kernels.h"

namespace kvpress {

/// Null where the compiler was not told to use these instructions. The caller asks the processor whether it has them.
const AttentionKernels* avx512bf16_attention_kernels();

}  // namespace kvpress
