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

/// Metadata values. Integers of every width become int64, floats and integers beyond int64 become double.
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

/// A GGUF file, mapped into memory; of a model that is split into several files (NAME-00001-of-0000N.gguf), all of
/// them, with the metadata of the first.
class GgufFile : public TensorFile {
 public:
  /// `path` is the file or the first part. Throws Error if a file is truncated or its header is inconsistent, if `path`
  /// is another part, or if a part is missing.
  explicit GgufFile(const std::filesystem::path& path);
  ~GgufFile() override;

  const std::unordered_map<std::string, GgufValue>& metadata() const { return metadata_; }

  /// The files, in the order of the parts.
  const std::vector<std::filesystem::path>& files() const { return files_; }

  /// The value of a key; null if there is no such key. T is one of GgufValue's alternatives. Owned by the file. Throws
  /// Error naming the key, its type and T's if it is of another.
  template <typename T>
  const T* get(std::string_view key) const {
    const GgufValue* value = find_value(key);
    if (value == nullptr) return nullptr;
    if (const T* found = std::get_if<T>(value)) return found;
    refuse_type(key, GgufValue(T()));
  }
  /// The value of a key, converted where nothing is lost: whole numbers, numbers and truth values into each other, and
  /// arrays of them. Empty if there is no such key. Throws Error as get() does.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  /// An array of whole numbers; one number counts as one.
  std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;

 private:
  struct Impl;
  const GgufValue* find_value(std::string_view key) const;
  [[noreturn]] void refuse_type(std::string_view key, const GgufValue& wanted) const;
  void add_part(const std::filesystem::path& path, bool is_first);
  void add_other_parts(const std::filesystem::path& path);

  std::unique_ptr<Impl> impl_;
  std::vector<std::filesystem::path> files_;
  std::unordered_map<std::string, GgufValue> metadata_;
};

}  // namespace kvpress
