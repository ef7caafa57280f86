// A lock on a file that ends with the process that holds it, however it ends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kvpress {

/// An advisory lock (flock) on a file made for it. The kernel lets go of it when the process dies. Movable.
class FileLock {
 public:
  enum class Mode {
    alone,    ///< nobody else may hold it
    together  ///< others may hold it together as well
  };

  /// Nothing when another process holds it the other way. The file is made where it does not exist, and left there.
  /// Throws Error naming the path when it cannot be made.
  static std::optional<FileLock> try_take(const std::filesystem::path& path, Mode mode);
  /// Waits until it is free.
  static FileLock take(const std::filesystem::path& path, Mode mode);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace kvpress
