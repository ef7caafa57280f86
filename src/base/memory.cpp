#include "kvpress/base/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/control_group.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

std::size_t round_to_pages(std::size_t bytes) { return (bytes + page_size() - 1) / page_size() * page_size(); }

/// The number after `key` in a file of "key: value kB" lines, in bytes; 0 when it is not there.
std::size_t kilobytes_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key + ":")) continue;
    return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

}  // namespace

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

PageBuffer::PageBuffer(const PageBuffer& other) {
  resize(other.allocated_);
  if (allocated_ > 0) std::memcpy(data_, other.data_, allocated_);
}

PageBuffer& PageBuffer::operator=(const PageBuffer& other) {
  if (this != &other) *this = PageBuffer(other);
  return *this;
}

PageBuffer::PageBuffer(PageBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), allocated_(std::exchange(other.allocated_, 0)) {}

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(allocated_, other.allocated_);
  return *this;
}

PageBuffer::~PageBuffer() {
  if (data_ != nullptr) ::munmap(data_, allocated_);
}

void PageBuffer::resize(std::size_t bytes) {
  const std::size_t wanted = round_to_pages(bytes);
  if (wanted == allocated_) return;
  void* moved = nullptr;
  if (wanted == 0) {
    ::munmap(data_, allocated_);
  } else if (data_ == nullptr) {
    moved = ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  } else {
    moved = ::mremap(data_, allocated_, wanted, MREMAP_MAYMOVE);
  }
  if (moved == MAP_FAILED)
    fail("memory: cannot allocate {} for the cache: {}", format_bytes(wanted), std::strerror(errno));
  data_ = static_cast<std::byte*>(moved);
  allocated_ = wanted;
}

std::shared_ptr<std::byte> PageArena::take(std::size_t bytes) {
  const std::size_t wanted = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (wanted > size_ - used_) {
    constexpr std::size_t kLargePage = std::size_t{2} << 20;
    const std::size_t size = round_to_pages(std::max(wanted, chunk_bytes_));
    // Large pages begin at multiples of their size.
    const std::size_t mapped = size >= kLargePage ? size + kLargePage : size;
    void* memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      fail("memory: cannot allocate {} for weights: {}", format_bytes(static_cast<double>(size)), std::strerror(errno));
    }
    const auto unaligned = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t start = mapped > size ? (unaligned + kLargePage - 1) / kLargePage * kLargePage : unaligned;
    if (mapped > size) ::madvise(reinterpret_cast<void*>(start), size, MADV_HUGEPAGE);  // without, it is only slower
    chunk_ = {reinterpret_cast<std::byte*>(start), [memory, mapped](std::byte*) { ::munmap(memory, mapped); }};
    size_ = size;
    used_ = 0;
  }
  std::shared_ptr<std::byte> piece(chunk_, chunk_.get() + used_);
  used_ += wanted;
  return piece;
}

std::size_t resident_bytes() {
  // The same as VmRSS in /proc/self/status, which takes the kernel and us ten times as long.
  std::array<char, 128> text{};
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t n = ::read(file, text.data(), text.size() - 1);
  ::close(file);
  if (n <= 0) return 0;
  const char* resident = std::strchr(text.data(), ' ');  // the second number
  return resident == nullptr ? 0 : std::strtoull(resident, nullptr, 10) * page_size();
}

std::size_t peak_resident_bytes() { return kilobytes_in("/proc/self/status", "VmHWM"); }

void reset_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
}

std::size_t available_bytes() {
  const std::size_t machine = kilobytes_in("/proc/meminfo", "MemAvailable");
  return std::min<std::size_t>(machine, group_limits().memory);
}

std::string format_bytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, bytes < 10 && unit > 0 ? 1 : 0, kUnits[unit]);
}

}  // namespace kvpress
