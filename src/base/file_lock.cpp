#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

int open_lock(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) fail("{}: cannot be created: {}", path.string(), errno_text());
  return fd;
}

/// False when somebody else holds it.
bool lock(int fd, FileLock::Mode mode, bool wait, const std::filesystem::path& path) {
  const int operation = (mode == FileLock::Mode::alone ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);
  while (::flock(fd, operation) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    ::close(fd);
    if (error == EWOULDBLOCK) return false;
    errno = error;
    fail("{}: cannot be locked: {}", path.string(), errno_text());
  }
  return true;
}

/// Whoever held the lock may have removed its file (huggingface_hub does): then another may hold the lock of a new one.
bool is_still_there(int fd, const std::filesystem::path& path) {
  struct stat held {};
  struct stat there {};
  return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
         held.st_dev == there.st_dev;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& path, Mode mode) {
  for (;;) {
    const int fd = open_lock(path);
    if (!lock(fd, mode, false, path)) return std::nullopt;
    FileLock taken(fd);
    if (is_still_there(fd, path)) return taken;
  }
}

FileLock FileLock::take(const std::filesystem::path& path, Mode mode) {
  for (;;) {
    const int fd = open_lock(path);
    lock(fd, mode, true, path);
    FileLock taken(fd);
    if (is_still_there(fd, path)) return taken;
  }
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace kvpress
