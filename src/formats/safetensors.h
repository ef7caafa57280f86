// The safetensors format (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON header,
// the tensors' bytes. A single file, or a folder's model.safetensors, or its shards by model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// `path` is a .safetensors file, a model.safetensors.index.json, or a folder with either. Throws Error if a header is
/// inconsistent: offsets beyond the end or overlapping, sizes that overflow or contradict shape and dtype, invalid
/// JSON.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

/// Where the tensors of one file are. Offsets are counted from the file's beginning.
struct SafetensorsHeader {
  struct Tensor {
    std::string name;
    StoredType type = StoredType::other;
    std::string type_name;  ///< as in the file: "F32", "I32", "U8"
    std::vector<std::int64_t> shape;
    std::size_t begin = 0, end = 0;
  };
  std::vector<Tensor> tensors;                  ///< in the order of their bytes, without holes
  std::map<std::string, std::string> metadata;  ///< what of __metadata__ are texts
  std::size_t n_bytes = 0;                      ///< of the header itself: where the data begins

  const Tensor* find(std::string_view name) const;
};
/// `read(offset, n)` gives n bytes of the file, which has `file_bytes`. `path` is for messages. Throws Error as
/// open_safetensors().
SafetensorsHeader read_safetensors_header(const std::string& path, std::size_t file_bytes,
                                          const std::function<std::string(std::size_t offset, std::size_t n)>& read);

/// A tensor to write, of any type of the format.
struct RawTensor {
  std::string name;
  std::string type_name;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  ///< not owned
};
/// The file's bytes before those of the tensors. A multiple of 64 bytes long.
std::string safetensors_header(std::span<const RawTensor> tensors,
                               const std::vector<std::pair<std::string, std::string>>& metadata);

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
