// A file descriptor that is closed on every way out of a scope.
#pragma once

#include <unistd.h>

#include <utility>

namespace kvpress {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  /// Negative: none.
  int fd() const { return fd_; }
  /// Closes it and says whether that succeeded: some file systems report there that a disk is full.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

}  // namespace kvpress
