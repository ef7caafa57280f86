#include "kvpress/eval/protocol.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/closest.h"
#include "kvpress/base/error.h"

namespace kvpress {

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::window:
      return "window";
    case Protocol::chunked:
      return "chunked";
    case Protocol::continuation:
      return "continuation";
    case Protocol::decode:
      return "decode";
  }
  return "?";
}

Protocol parse_protocol(const std::string& text, const std::string& setting) {
  for (const Protocol it : {Protocol::window, Protocol::chunked, Protocol::continuation, Protocol::decode}) {
    if (to_string(it) == text) return it;
  }
  static const std::vector<std::string> kKnown = {"window", "chunked", "continuation", "decode"};
  fail_usage("{}: protocol {}", setting, is_not_known(text, kKnown));
}

void check_settings(const ProtocolSettings& settings) {
  const auto at_least = [](const char* setting, std::int64_t value, std::int64_t least) {
    if (value < least) fail_setting(setting, "{} is too small; at least {} is needed", value, least);
  };
  at_least("max_length", settings.max_length, 2);
  at_least("stride", settings.stride, 1);
  at_least("chunk_size", settings.chunk_size, 1);
  at_least("context_tokens", settings.context_tokens, 0);
  if (settings.protocol == Protocol::window && settings.stride > settings.max_length) {
    fail_setting("stride", "{} leaves tokens between windows of {} {} unscored; use at most {}", settings.stride,
                 setting("max_length"), settings.max_length, settings.max_length);
  }
}

void check_settings(const ProtocolSettings& settings, const CompressionSettings& compression) {
  check_settings(settings);
  if (settings.protocol == Protocol::decode) return;
  if (compression.compression_interval > 0) {
    fail_setting("compression_interval", "needs protocol decode; this run uses {}", to_string(settings.protocol));
  }
  if (compression.press.press == nullptr && compression.press.decoding) {
    fail_usage("press {}: compresses during decode, but protocol {} does not decode; use {} decode",
               compression.press.text, to_string(settings.protocol), setting("protocol"));
  }
}

std::int64_t context_of(const ProtocolSettings& settings, std::int64_t n_tokens) {
  const std::int64_t context = settings.context_tokens > 0 ? settings.context_tokens : n_tokens / 2;
  if (context >= n_tokens) {
    fail_setting("context_tokens", "{} leaves nothing to score in a text of {} tokens; use fewer", context, n_tokens);
  }
  return context;
}

std::int64_t highest_position(const ProtocolSettings& settings, const CompressionSettings& compression,
                              std::int64_t n_tokens) {
  const std::int64_t longest = longest_cache(settings, n_tokens);
  switch (settings.protocol) {
    case Protocol::window:
      break;
    case Protocol::chunked:
      if (compression.positions == Positions::text || !compression.budget.target_size) break;
      return std::min(longest, *compression.budget.target_size + settings.chunk_size);
    case Protocol::continuation:
    case Protocol::decode: {
      const std::int64_t context = context_of(settings, n_tokens);
      return compression.highest_position(context, n_tokens - context);
    }
  }
  return longest;
}

std::int64_t longest_cache(const ProtocolSettings& settings, std::int64_t n_tokens) {
  return settings.splits_text() ? std::min(settings.max_length, n_tokens) : n_tokens;
}

}  // namespace kvpress
