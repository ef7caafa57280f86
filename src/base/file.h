// Files: memory-mapped reading and atomic writing.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace kvpress {

/// A read-only mapping of a whole file. Movable; bytes() is valid as long as the object. Throws Error with the path.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The content of the file. Throws Error with the path.
std::string read_file(const std::filesystem::path& path);

/// Writes a temporary file in the same folder, syncs, and renames it: readers see the old file or the new one, never a
/// partial file. Throws Error with the path, after removing the temporary file.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Throws the Error that write_file() would throw. Call it before long work that produces the content. Leaves no file.
void check_can_write(const std::filesystem::path& path);

/// The text for the errno of the last call, such as "No such file or directory".
std::string errno_text();

}  // namespace kvpress
