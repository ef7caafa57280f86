// Memory: vectors aligned for SIMD, page buffers that return memory to the system, and memory statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace kvpress {

/// Bytes of a cache line and of the widest vectors.
inline constexpr std::size_t kAlignment = 64;

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{kAlignment})); }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{kAlignment}); }
  /// resize() leaves new elements uninitialized: buffers are always written before they are read.
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

/// Memory from the kernel, in whole pages. Growing keeps the content and may move it; shrinking returns the pages
/// immediately (a heap would keep them). New bytes are zero. A copy has pages of its own.
class PageBuffer {
 public:
  PageBuffer() = default;
  PageBuffer(const PageBuffer& other);
  PageBuffer& operator=(const PageBuffer& other);
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  /// Sets the size to `bytes`, rounded up to pages. Throws Error if there is not enough memory.
  void resize(std::size_t bytes);

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  /// Allocated bytes, a multiple of the page size.
  std::size_t allocated() const { return allocated_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t allocated_ = 0;
};

/// Memory for data that is read sequentially again and again, such as weights: pieces of large pages (if the kernel
/// provides them), which avoid most TLB misses. The memory of a chunk is returned when all its pieces are freed.
class PageArena {
 public:
  /// Reserves addresses in chunks of `chunk_bytes`; memory is used only when written.
  explicit PageArena(std::size_t chunk_bytes = std::size_t{256} << 20) : chunk_bytes_(chunk_bytes) {}
  /// `bytes` zero bytes, aligned to kAlignment. Throws Error if there is not enough memory.
  std::shared_ptr<std::byte> take(std::size_t bytes);

 private:
  std::size_t chunk_bytes_;
  std::shared_ptr<std::byte> chunk_;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

/// Bytes of a memory page.
std::size_t page_size();

/// Resident memory of this process: now, and the peak since the last reset, in bytes.
std::size_t resident_bytes();
std::size_t peak_resident_bytes();
/// Resets the peak, if the kernel allows it; otherwise the peak counts from the start of the process.
void reset_peak_resident();

/// Bytes that this process can still allocate: the memory available on the machine, or the control-group limit if less.
std::size_t available_bytes();

/// Bytes with a binary unit: "1.5 GiB", "320 MiB".
std::string format_bytes(double bytes);

}  // namespace kvpress
