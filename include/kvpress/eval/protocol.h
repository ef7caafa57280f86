// The protocols by which a text is scored. docs/protocols.md says what each of them measures.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/engine/compression_settings.h"

namespace kvpress {

enum class Protocol : std::uint8_t {
  window,        ///< sliding windows; tokens are scored before compression, so it has no effect
  chunked,       ///< chunk by chunk; each attends to the compressed cache of earlier chunks
  continuation,  ///< prefill a context, compress once, score the rest in one pass
  decode,        ///< as continuation, but token by token
};

std::string_view to_string(Protocol protocol);
/// Throws UsageError that names `setting` and the known protocols.
Protocol parse_protocol(const std::string& text, const std::string& setting);

/// A warning for perplexities of protocol `window` with a press.
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

/// Throws UsageError that names the invalid setting.
void check_settings(const ProtocolSettings& settings);
/// Also throws UsageError if the protocol never runs the requested compression.
void check_settings(const ProtocolSettings& settings, const CompressionSettings& compression);

/// The tokens of context of a text of n_tokens: context_tokens, or half of the text. Throws UsageError if no token is
/// left to score.
std::int64_t context_of(const ProtocolSettings& settings, std::int64_t n_tokens);

/// An upper bound of the RoPE positions, exclusive, of a run on a text of n_tokens. Does not use the ratio.
std::int64_t highest_position(const ProtocolSettings& settings, const CompressionSettings& compression,
                              std::int64_t n_tokens);

/// The largest number of tokens in a cache without compression, for a text of n_tokens.
std::int64_t longest_cache(const ProtocolSettings& settings, std::int64_t n_tokens);

}  // namespace kvpress
