// The safetensors format (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON header,
// the tensors' bytes. A single file, or a folder's model.safetensors, or its shards by model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// `path` is a .safetensors file, a model.safetensors.index.json, or a folder with either. Throws Error if a header is
/// inconsistent: offsets beyond the end or overlapping, sizes that overflow or contradict shape and dtype, invalid
/// JSON.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

/// A tensor to write: float32 values, row-major.
struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Writes one file atomically, all tensors as F32. Throws Error with the path.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace kvpress
