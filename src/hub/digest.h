// Hashes of a file, computed while it is received.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kvpress {

/// The two hashes by which the hub identifies files: SHA-256 for large files (git LFS), git's SHA-1, computed over
/// "blob SIZE\0" and the content, for others.
class Digest {
 public:
  enum class Kind : std::uint8_t { sha256, git_sha1 };

  /// `size` is the size of the whole file in bytes. Throws Error if libcrypto fails.
  Digest(Kind kind, std::int64_t size);
  void update(std::string_view bytes);
  /// The hash in lower-case hexadecimal. Do not call update() afterwards.
  std::string hex();

 private:
  std::unique_ptr<void, void (*)(void*)> context_;
};

}  // namespace kvpress
