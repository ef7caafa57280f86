// How a text is scored. docs/protocols.md says what each protocol can and cannot see.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/engine/compression_settings.h"

namespace kvpress {

enum class Protocol : std::uint8_t {
  window,        ///< sliding windows; tokens are scored in the pass that fills the cache: blind to compression
  chunked,       ///< chunk by chunk; each attends to the compressed cache of those before
  continuation,  ///< prefill a context, compress once, score the rest in one pass
  decode,        ///< the same, but token by token
};

std::string_view to_string(Protocol protocol);
/// Throws UsageError naming `setting` and the protocols known.
Protocol parse_protocol(const std::string& text, const std::string& setting);

/// What to tell whoever reads a perplexity of protocol `window` under a press.
inline constexpr std::string_view kWindowCaveat =
    "protocol window scores tokens in the pass that fills the cache, so perplexity does not show the effect of "
    "compression; use chunked, continuation or decode";

struct ProtocolSettings {
  Protocol protocol = Protocol::chunked;
  std::int64_t max_length = 1024;   ///< window, chunked: tokens of a window or segment
  std::int64_t stride = 512;        ///< window: tokens from window to window
  std::int64_t chunk_size = 256;    ///< chunked
  std::int64_t context_tokens = 0;  ///< continuation, decode: tokens prefilled; 0: half of the text

  bool splits_text() const { return protocol == Protocol::window || protocol == Protocol::chunked; }
};

/// Throws UsageError naming the setting whose value makes no sense.
void check_settings(const ProtocolSettings& settings);
/// The same, and when the protocol never does what the compression asks for.
void check_settings(const ProtocolSettings& settings, const CompressionSettings& compression);

/// Tokens of context for a text of n: as given, or half. Throws UsageError when nothing would be left to score.
std::int64_t context_of(const ProtocolSettings& settings, std::int64_t n_tokens);

/// One more than the highest RoPE position that a press's run on a text of n reaches, as far as it is known without
/// the ratio.
std::int64_t highest_position(const ProtocolSettings& settings, const CompressionSettings& compression,
                              std::int64_t n_tokens);

/// The most tokens that a cache without compression holds at once for a text of n.
std::int64_t longest_cache(const ProtocolSettings& settings, std::int64_t n_tokens);

}  // namespace kvpress
