// Files: memory-mapped reading (file.cpp), and writing that leaves a whole file or none (output_file.cpp).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"

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

/// Reads parts of a file without mapping it: where the file is truncated meanwhile, that is an Error, not a signal.
/// Threads may read at the same time. Movable.
class FileReader {
 public:
  /// Throws Error with the path.
  explicit FileReader(const std::filesystem::path& path);

  std::size_t size() const { return size_; }  ///< when it was opened
  const std::filesystem::path& path() const { return path_; }
  /// Fills `out` with the bytes from `offset` on. Throws Error with the path if there are fewer.
  void read(std::size_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::size_t size_ = 0;
};

/// The content of the file. Throws Error with the path.
std::string read_file(const std::filesystem::path& path);

/// From now on a file that is truncated while it is mapped ends the process with exit code 1 and one line that names
/// it. Without this, the access beyond the new end is a SIGBUS that says nothing. For programs: a library does not
/// handle signals.
void install_truncation_handler();

/// Readers see the old file or the new one, never a part: a temporary file in the same folder is written, synced and
/// renamed. A link is followed, and what it leads to is replaced. The new file has the rights of the old one, or those
/// that the umask leaves. What exists and is not a regular file (a device, a pipe, /dev/stdout) is written to. Throws
/// Error with the path, after removing the temporary file.
void write_file(const std::filesystem::path& path, std::string_view content);
/// The same of a content that lies in pieces.
void write_file(const std::filesystem::path& path, std::span<const std::string_view> pieces);

/// Throws the Error that write_file() would throw. Call it before long work that produces the content. Makes missing
/// folders of the path; leaves no file.
void check_can_write(const std::filesystem::path& path);

/// Makes the folder and those above it where they are missing, and tries that a file can be made in it. Throws Error
/// with the path.
void make_output_folder(const std::filesystem::path& path);

/// A new, empty folder in `folder` with a hidden name that cannot be guessed. Throws Error with `folder`.
std::filesystem::path make_temporary_folder(const std::filesystem::path& folder);

/// The text for the errno of the last call, such as "No such file or directory".
std::string errno_text();

}  // namespace kvpress
