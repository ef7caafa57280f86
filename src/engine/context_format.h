// The format of a saved context: names, versions, metadata, checksums. context_file.h reads and writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/safetensors.h"
#include "kvpress/engine/context_file.h"

namespace kvpress::context_format {

inline constexpr const char* kName = "kvpress context";
inline constexpr const char* kVersion = "1";

inline constexpr const char* kTokens = "tokens";
inline constexpr const char* kLastHidden = "last_hidden";
inline constexpr const char* kPrefillPress = "prefill_press";
inline constexpr const char* kDecodingPress = "decoding_press";
inline constexpr const char* kChecksum = "checksum";
inline constexpr const char* kChannels = "channels";
std::string recent_queries_name(std::int64_t layer);
/// Of a part of a head: "layers.3.heads.0.keys".
std::string part_name(std::int64_t layer, std::int64_t kv_head, std::string_view part);

/// What the metadata says beside ContextInfo.
struct Header {
  ContextInfo info;
  std::string turns;            ///< turns_of()
  bool carries_floats = false;  ///< whether the floats of presses are stored
  bool active = true;
  std::int64_t n_prompt = 0;
  std::int64_t n_decoded = 0;
};

/// The rotary turns of a model, which some models choose by the length that is planned.
std::string turns_of(const ModelConfig& config);
std::string hash_of_tokens(std::span<const std::int32_t> tokens);

std::string to_json(const Header& header);
/// Throws Error or UsageError for a text that is not such a header; the caller adds the path.
Header from_json(const std::string& text, const std::string& path);

/// The hash of a tensor, block by block.
class TensorHash {
 public:
  static constexpr std::size_t kBlock = std::size_t{1} << 20;
  /// A block, of kBlock bytes but for the last.
  void add(std::span<const std::byte> block);
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0;
};
std::uint64_t hash_of(std::span<const std::byte> tensor);
/// Of the file's header and all tensors but the checksum, in their order.
std::uint64_t checksum(std::string_view header, std::span<const std::uint64_t> tensors);

}  // namespace kvpress::context_format
