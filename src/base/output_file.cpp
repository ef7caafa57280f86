// The part of base/file.h that writes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <system_error>

#include "base/file.h"
#include "base/file_descriptor.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// As many as the kernel follows.
constexpr int kMaxLinks = 40;

/// N, if the path is that of this process's descriptor N: /proc/self/fd/N, which /dev/stdout leads to. What a shell has
/// redirected is then written where the shell's own output stands, neither replaced nor from its beginning.
std::optional<int> own_descriptor(const fs::path& path) {
  const std::string folder = path.parent_path().string();
  if (folder != "/proc/self/fd" && folder != "/dev/fd" && folder != fmt::format("/proc/{}/fd", ::getpid())) return {};
  const std::string name = path.filename().string();
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  return number;
}

/// Where writing to a path leads.
struct Target {
  fs::path path;                       ///< after following links
  std::optional<int> descriptor = {};  ///< of this process
  bool exists = false;
  bool regular = true;  ///< or does not exist
  mode_t mode = 0;      ///< rights, of what exists
};

Target target_of(const fs::path& written) {
  Target target{written};
  for (int links = 0;; ++links) {
    target.descriptor = own_descriptor(target.path);
    if (target.descriptor) return target;
    struct stat status {};
    if (::lstat(target.path.c_str(), &status) != 0) {
      if (errno == ENOENT) return target;
      fail("{}: cannot write: {}", written.string(), errno_text());
    }
    if (!S_ISLNK(status.st_mode)) {
      target.exists = true;
      target.regular = S_ISREG(status.st_mode);
      target.mode = status.st_mode & 07777;
      if (S_ISDIR(status.st_mode)) fail("{}: cannot write: it is a folder", written.string());
      return target;
    }
    std::error_code error;
    const fs::path next = fs::read_symlink(target.path, error);
    if (error || links == kMaxLinks) fail("{}: cannot write: the link leads nowhere", written.string());
    target.path = next.is_absolute() ? next : target.path.parent_path() / next;
  }
}

/// Hidden, and cannot be guessed; nothing has this name but by an accident of 2^-64.
fs::path temporary_name(const fs::path& folder) {
  std::random_device random;
  const auto number = (static_cast<std::uint64_t>(random()) << 32) | random();
  return folder / fmt::format(".kvpress-{:016x}.tmp", number);
}

/// A file that nobody else has: an existing file or link of its name would not be opened.
struct TemporaryFile {
  fs::path path;
  FileDescriptor file;
};

TemporaryFile make_temporary(const fs::path& folder, const fs::path& written) {
  fs::path path = temporary_name(folder);
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.fd() < 0) fail("{}: cannot write: {}", written.string(), errno_text());
  return {std::move(path), std::move(file)};
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

void make_folders_above(const fs::path& path, const fs::path& written) {
  std::error_code error;
  fs::create_directories(folder_of(path), error);
  if (error) fail("{}: cannot write: folder {}: {}", written.string(), folder_of(path).string(), error.message());
}

/// False with errno set where it fails.
bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool write_all(int fd, std::span<const std::string_view> pieces) {
  return std::all_of(pieces.begin(), pieces.end(), [fd](std::string_view it) { return write_all(fd, it); });
}

void write_into(const Target& target, const fs::path& written, std::span<const std::string_view> content) {
  FileDescriptor file(target.descriptor ? ::fcntl(*target.descriptor, F_DUPFD_CLOEXEC, 0)
                                        : ::open(target.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (file.fd() < 0 || !write_all(file.fd(), content) || !file.close()) {
    fail("{}: cannot write: {}", written.string(), errno_text());
  }
}

/// Where the old file cannot be written to, it is not replaced either.
void check_access(const Target& target, const fs::path& written) {
  if (target.exists && ::access(target.path.c_str(), W_OK) != 0) {
    fail("{}: cannot write: {}", written.string(), errno_text());
  }
}

}  // namespace

void check_can_write(const fs::path& path) {
  const Target target = target_of(path);
  if (target.descriptor) {
    const int flags = ::fcntl(*target.descriptor, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
      fail("{}: cannot write: it is not open for writing", path.string());
    return;
  }
  check_access(target, path);
  if (!target.regular) return;
  make_folders_above(target.path, path);
  const TemporaryFile temporary = make_temporary(folder_of(target.path), path);
  ::unlink(temporary.path.c_str());
}

void write_file(const fs::path& path, std::string_view content) {
  write_file(path, std::span<const std::string_view>(&content, 1));
}

void write_file(const fs::path& path, std::span<const std::string_view> content) {
  const Target target = target_of(path);
  check_access(target, path);
  if (target.descriptor || !target.regular) {
    write_into(target, path, content);
    return;
  }
  TemporaryFile temporary = make_temporary(folder_of(target.path), path);
  const auto give_up = [&](std::string_view what) {
    const std::string reason = errno_text();
    ::unlink(temporary.path.c_str());
    fail("{}: {}: {}", path.string(), what, reason);
  };
  if (!write_all(temporary.file.fd(), content)) give_up("cannot write");
  if (target.exists && ::fchmod(temporary.file.fd(), target.mode) != 0) give_up("cannot take over the rights");
  if (::fsync(temporary.file.fd()) != 0 || !temporary.file.close()) give_up("cannot write to disk");
  if (::rename(temporary.path.c_str(), target.path.c_str()) != 0) give_up("cannot rename into place");
}

fs::path make_temporary_folder(const fs::path& folder) {
  fs::path path = temporary_name(folder);
  // Not mkdtemp(): its folders are for their owner alone, whatever the umask allows.
  if (::mkdir(path.c_str(), 0777) != 0) fail("{}: cannot write: {}", folder.string(), errno_text());
  return path;
}

void make_output_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("{}: cannot be created: {}", path.string(), error.message());
  const TemporaryFile temporary = make_temporary(path, path);
  ::unlink(temporary.path.c_str());
}

}  // namespace kvpress
