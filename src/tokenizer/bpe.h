// Byte-pair merging over ids, by rank, in O(n log n).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kvpress {

/// Vocabulary and merges of a byte-level BPE. Tokens are written in the byte-level alphabet of GPT-2.
class Bpe {
 public:
  /// Merges in the order of their ranks. Throws Error naming `path` when a merge names a token that is not there.
  Bpe(std::unordered_map<std::string, std::int32_t> vocab,
      const std::vector<std::pair<std::string, std::string>>& merges, bool ignore_merges, const std::string& path);

  /// Appends the ids of one pre-token, given as plain bytes.
  void encode(std::string_view bytes, std::vector<std::int32_t>& ids) const;
  /// The bytes of a token; empty when unknown.
  std::string bytes_of(std::int32_t id) const;
  const std::unordered_map<std::string, std::int32_t>& vocab() const { return vocab_; }

 private:
  struct Merge {
    std::int32_t rank, id;
  };
  std::unordered_map<std::string, std::int32_t> vocab_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::unordered_map<std::int32_t, std::string> bytes_;
  std::unordered_map<std::string, std::int32_t> whole_;  // bytes to id, when merges may be ignored
  std::vector<std::int32_t> byte_ids_;
  bool ignore_merges_;
};

}  // namespace kvpress
