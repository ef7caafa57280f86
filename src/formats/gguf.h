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

/// Integers of every width become int64, floats double; arrays are of one of the four kinds.
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

class GgufFile : public TensorFile {
 public:
  /// Throws Error when the file is truncated or its header lies.
  explicit GgufFile(const std::filesystem::path& path);
  ~GgufFile() override;

  const std::unordered_map<std::string, GgufValue>& metadata() const { return metadata_; }

  /// Null when absent or of another kind. T is one of GgufValue's alternatives.
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
