// Arrays in the format that numpy.load() reads: .npy files, stored without compression in a zip archive.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// An archive of arrays, made in memory.
class NpzWriter {
 public:
  /// Adds an array of this shape, row-major; its size must be the product of the shape. Names must differ.
  void add(std::string_view name, std::span<const float> values, const std::vector<std::size_t>& shape);
  void add(std::string_view name, std::span<const std::int32_t> values, const std::vector<std::size_t>& shape);
  void add(std::string_view name, std::span<const std::int64_t> values, const std::vector<std::size_t>& shape);
  /// Texts (UTF-8), as an array of Unicode strings ("<U5").
  void add(std::string_view name, const std::vector<std::string>& texts);

  /// The bytes of the file. Throws Error if they would be 4 GiB or more, which needs another format.
  std::string finish() const;

 private:
  void add_bytes(std::string_view name, std::string_view type, std::string_view bytes,
                 const std::vector<std::size_t>& shape);

  struct Entry {
    std::string name;
    std::string content;
  };
  std::vector<Entry> entries_;
};

}  // namespace kvpress
