// A GGUF's metadata by keys, with errors that name the file and the key.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/formats/gguf.h"

namespace kvpress {

/// The keys below "ARCHITECTURE.", and which of them were read.
class GgufConfig {
 public:
  GgufConfig(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + '.') {}

  bool has(std::string_view key) const { return file_.metadata().contains(full(key)); }
  /// A whole number from 1 to `most`; an array of equal numbers counts as one. Throws Error otherwise.
  std::int64_t size(std::string_view key, std::int64_t most);
  std::int64_t size_or(std::string_view key, std::int64_t most, std::int64_t fallback);
  /// A number that is finite.
  std::optional<double> number(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  /// One number or a list; none where the key is not there.
  std::vector<std::int64_t> integers(std::string_view key);
  /// A soft cap: at least 0, which means none.
  float cap(std::string_view key, double fallback);
  /// A number or truth value that must be `wanted` if it is there; another would need what is not supported.
  void require(std::string_view key, double wanted);

  /// Throws Error for the first key that was neither read nor is in `harmless`: a model that needs it would be computed
  /// wrong without it.
  void refuse_unread(std::span<const std::string_view> harmless) const;

  const GgufFile& file() const { return file_; }
  const std::string& path() const { return file_.path(); }
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  std::string read(std::string_view key);

  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string> read_;
};

}  // namespace kvpress
