// Matrices in MXFP4 as transformers stores them: the codes in one tensor, "NAME_blocks", the scales in another,
// "NAME_scales". A GGUF has the same numbers in one (StoredType::mxfp4), and that is what is made of them here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kvpress/formats/tensor_file.h"
#include "kvpress/model/weights.h"

namespace kvpress {

/// Matrix `i` of `n`, each [out, in], of tensors NAME_blocks [n, out, in / 32, 16] and NAME_scales [n, out, in / 32] of
/// bytes. Throws Error naming file and tensor when they are something else.
std::shared_ptr<const TensorInfo> mxfp4_matrix(WeightReader& reader, const std::string& name, std::int64_t n,
                                               std::int64_t i, std::int64_t out, std::int64_t in);

}  // namespace kvpress
