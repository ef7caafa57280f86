#include "kvpress/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/file.h"

namespace kvpress {
namespace {

int open_lock(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) fail("{}: cannot be made: {}", path.string(), errno_text());
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

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& path, Mode mode) {
  const int fd = open_lock(path);
  if (!lock(fd, mode, false, path)) return std::nullopt;
  return FileLock(fd);
}

FileLock FileLock::take(const std::filesystem::path& path, Mode mode) {
  const int fd = open_lock(path);
  lock(fd, mode, true, path);
  return FileLock(fd);
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
