// A file lock that is released when the process that holds it ends for any reason.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kvpress {

/// An advisory lock (flock) on a lock file. The kernel releases it when the process dies. Movable.
class FileLock {
 public:
  enum class Mode {
    alone,    ///< exclusive
    together  ///< shared
  };

  /// Empty if another process holds a conflicting lock. Creates the file if needed, and does not remove it. Throws
  /// Error with the path if it cannot be created.
  static std::optional<FileLock> try_take(const std::filesystem::path& path, Mode mode);
  /// Waits until the lock is free.
  static FileLock take(const std::filesystem::path& path, Mode mode);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace kvpress
