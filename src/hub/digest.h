// Hashes of a file as it comes in.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kvpress {

/// The two hashes that the hub names its files by: of large ones (git LFS) the SHA-256, of the rest git's SHA-1, which
/// goes over "blob SIZE\0" and the content.
class Digest {
 public:
  enum class Kind : std::uint8_t { sha256, git_sha1 };

  Digest(Kind kind, std::int64_t size);
  void update(std::string_view bytes);
  /// In lower case hexadecimal. Ends the digest.
  std::string hex();

 private:
  std::unique_ptr<void, void (*)(void*)> context_;
};

}  // namespace kvpress
