#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// What is mapped, for the signal handler: it may take no lock and allocate nothing. A slot is free if `begin` is null.
/// Mappings beyond the table's end are not named.
struct Mapping {
  std::atomic<const std::byte*> begin;
  std::size_t size;
  char path[1024];
};
std::array<Mapping, 256> mappings;
std::mutex mappings_mutex;

void remember(const std::byte* begin, std::size_t size, const std::string& path) {
  const std::lock_guard lock(mappings_mutex);
  for (Mapping& it : mappings) {
    if (it.begin.load() != nullptr) continue;
    it.size = size;
    it.path[path.copy(it.path, sizeof it.path - 1)] = '\0';
    it.begin.store(begin);
    return;
  }
}

void forget(const std::byte* begin) {
  const std::lock_guard lock(mappings_mutex);
  for (Mapping& it : mappings) {
    if (it.begin.load() == begin) it.begin.store(nullptr);
  }
}

std::size_t regular_size(int fd, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail("{}: cannot read its size: {}", path.string(), errno_text());
  if (!S_ISREG(status.st_mode)) fail("{}: is not a regular file", path.string());
  return static_cast<std::size_t>(status.st_size);
}

extern "C" void on_bus_error(int signal, siginfo_t* info, void* /*context*/) {
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  for (const Mapping& it : mappings) {
    const std::byte* begin = it.begin.load();
    if (begin == nullptr || at < begin || at >= begin + it.size) continue;
    const auto say = [](const char* text) {
      [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
    };
    say("kvpress: ");
    say(it.path);
    say(": was truncated while it was read, or its disk failed; run again with the whole file\n");
    ::_exit(1);
  }
  std::signal(signal, SIG_DFL);  // not ours: the access is tried again, and the process ends as it would have
}

}  // namespace

void install_truncation_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

std::string errno_text() { return std::strerror(errno); }

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) fail("{}: cannot open: {}", path.string(), errno_text());
  size_ = regular_size(file.fd(), path);
  if (size_ == 0) return;  // nothing to map; bytes() is empty
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (mapped == MAP_FAILED) fail("{}: cannot map into memory: {}", path.string(), errno_text());
  data_ = static_cast<const std::byte*>(mapped);
  remember(data_, size_, path.string());
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
  if (data_ == nullptr) return;
  forget(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

FileReader::FileReader(const std::filesystem::path& path)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_.fd() < 0) fail("{}: cannot open: {}", path.string(), errno_text());
  size_ = regular_size(file_.fd(), path);
}

void FileReader::read(std::size_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(file_.fd(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("{}: cannot read: {}", path_.string(), errno_text());
    if (n == 0) fail("{}: ends at byte {}, {} bytes too soon; it is truncated", path_.string(), offset, out.size());
    offset += static_cast<std::size_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::string read_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace kvpress
