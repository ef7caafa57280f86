// Files: memory-mapped for reading, written whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace kvpress {

/// A read-only mapping of a whole file. Movable; the bytes live as long as the object. Throws Error naming the path.
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

/// The whole file as a string. Throws Error naming the path.
std::string read_file(const std::filesystem::path& path);

/// Writes to a temporary name in the same folder, syncs, and renames: readers see the old file or the new one, never
/// half of it. Throws Error naming the path; nothing is left behind then.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Throws the Error that write_file() would, before the work that leads to the content is done. Leaves nothing behind.
void check_can_write(const std::filesystem::path& path);

/// "No such file or directory" and the like, for the errno of the call just made.
std::string errno_text();

}  // namespace kvpress
