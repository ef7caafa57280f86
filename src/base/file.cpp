#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// Closes on every way out of a function.
struct FileDescriptor {
  int fd;
  ~FileDescriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::string errno_text() { return std::strerror(errno); }

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail("{}: cannot open: {}", path.string(), errno_text());
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail("{}: cannot read its size: {}", path.string(), errno_text());
  if (!S_ISREG(status.st_mode)) fail("{}: is not a regular file", path.string());
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // nothing to map; bytes() is empty
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapped == MAP_FAILED) fail("{}: cannot map into memory: {}", path.string(), errno_text());
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace {

/// The name that a file has until it is whole.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  return path.string() + fmt::format(".tmp{}", ::getpid());
}

FileDescriptor open_temporary(const std::filesystem::path& path) {
  const int fd = ::open(temporary_name(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail("{}: cannot write: {}", path.string(), errno_text());
  return {fd};
}

}  // namespace

void check_can_write(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) fail("{}: cannot write: it is a folder", path.string());
  const FileDescriptor file = open_temporary(path);
  ::unlink(temporary_name(path).c_str());
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path temporary = temporary_name(path);
  FileDescriptor file = open_temporary(path);
  const auto give_up = [&](std::string_view what) {
    const std::string reason = errno_text();
    ::unlink(temporary.c_str());
    fail("{}: {}: {}", path.string(), what, reason);
  };
  while (!content.empty()) {
    const ssize_t written = ::write(file.fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      give_up("cannot write");
    }
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.fd) != 0) give_up("cannot write to disk");
  if (::close(std::exchange(file.fd, -1)) != 0) give_up("cannot write to disk");
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up("cannot rename into place");
}

}  // namespace kvpress
