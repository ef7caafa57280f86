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

/// `path` is a .safetensors file, a model.safetensors.index.json, or a folder that holds either. Throws Error when a
/// header lies: offsets past the end or overlapping, sizes that overflow or disagree with shape and dtype, bad JSON.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

/// A tensor to write: float32 values, row-major.
struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Writes one file, whole or not at all, every tensor as F32.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace kvpress
