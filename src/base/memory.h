// Memory: vectors aligned for SIMD, page-granular buffers that really give memory back, and what the machine has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace kvpress {

/// Cache lines and the widest vectors are 64 bytes.
inline constexpr std::size_t kAlignment = 64;

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{kAlignment})); }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{kAlignment}); }
  /// resize() leaves new elements uninitialised: scratch is always written before it is read.
  template <typename U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <typename U, typename... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(static_cast<Args&&>(args)...);
  }
  bool operator==(const AlignedAllocator&) const { return true; }
};

template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

/// Bytes straight from the kernel, in whole pages: growing keeps the content and may move it, shrinking gives the
/// pages back at once (a heap would keep them). New bytes are zero. A copy has pages of its own.
class PageBuffer {
 public:
  PageBuffer() = default;
  PageBuffer(const PageBuffer& other);
  PageBuffer& operator=(const PageBuffer& other);
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  /// Makes room for exactly `bytes`, rounded up to pages. Throws Error when the machine has no more memory.
  void resize(std::size_t bytes);

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  /// What is really held: a multiple of the page size.
  std::size_t allocated() const { return allocated_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t allocated_ = 0;
};

/// Memory for what is read from end to end again and again, such as weights: pieces of large pages (where the kernel
/// gives them), which spare the processor most of its looking up of addresses. Pieces that are freed give their
/// memory back once all of their chunk are.
class PageArena {
 public:
  /// Addresses are taken `chunk_bytes` at a time; memory only as it is written to.
  explicit PageArena(std::size_t chunk_bytes = std::size_t{256} << 20) : chunk_bytes_(chunk_bytes) {}
  /// Zeros, aligned to kAlignment. Throws Error when the machine has no more memory.
  std::shared_ptr<std::byte> take(std::size_t bytes);

 private:
  std::size_t chunk_bytes_;
  std::shared_ptr<std::byte> chunk_;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

/// Bytes of a page of the kernel's.
std::size_t page_size();

/// Resident memory of this process now, and at its highest since the last reset, in bytes.
std::size_t resident_bytes();
std::size_t peak_resident_bytes();
/// Starts the peak anew (where the kernel allows it; else the peak goes on from the start of the process).
void reset_peak_resident();

/// Memory this process may still take: what the machine has available, or what control groups leave it, if less.
std::size_t available_bytes();

/// "1.5 GiB", "320 MiB".
std::string format_bytes(double bytes);

}  // namespace kvpress
