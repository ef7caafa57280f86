// GGUF, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): typed key-value metadata and
// tensors, little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// Metadata values. Integers of every width become int64, floats become double.
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

/// A GGUF file, mapped into memory.
class GgufFile : public TensorFile {
 public:
  /// Throws Error if the file is truncated or its header is inconsistent.
  explicit GgufFile(const std::filesystem::path& path);
  ~GgufFile() override;

  const std::unordered_map<std::string, GgufValue>& metadata() const { return metadata_; }

  /// The value of a key; null if absent or of another type. T is one of GgufValue's alternatives. Owned by the file.
  template <typename T>
  const T* get(std::string_view key) const {
    const auto it = metadata_.find(std::string(key));
    return it == metadata_.end() ? nullptr : std::get_if<T>(&it->second);
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::unordered_map<std::string, GgufValue> metadata_;
};

}  // namespace kvpress
