#include "kvpress/eval/protocol.h"

#include <algorithm>

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

Protocol parse_protocol(const std::string& text, const std::string& option) {
  for (const Protocol it : {Protocol::window, Protocol::chunked, Protocol::continuation, Protocol::decode}) {
    if (to_string(it) == text) return it;
  }
  fail_usage("{}: protocol '{}' is not known; known: window, chunked, continuation, decode", option, text);
}

std::string_view to_string(Positions positions) { return positions == Positions::text ? "text" : "cache"; }

Positions parse_positions(const std::string& text, const std::string& option, const ModelConfig& config) {
  if (text == "text") return Positions::text;
  if (text != "cache") fail_usage("{}: '{}' is not known; known: text, cache", option, text);
  if (!config.has_rope()) {
    fail_usage("{}: cache: the model has no rotary positions to renumber; use text", option);
  }
  return Positions::cache;
}

void check_settings(const ProtocolSettings& settings) {
  const auto at_least = [](std::string_view option, std::int64_t value, std::int64_t least) {
    if (value < least) fail_usage("{}: {} is too small; at least {} is needed", option, value, least);
  };
  at_least("--max-length", settings.max_length, 2);
  at_least("--stride", settings.stride, 1);
  at_least("--chunk-size", settings.chunk_size, 1);
  at_least("--context-tokens", settings.context_tokens, 0);
  at_least("--compression-interval", settings.compression_interval, 0);
  if (settings.target_size) at_least("--target-size", *settings.target_size, 1);
  if (settings.protocol == Protocol::window && settings.stride > settings.max_length) {
    fail_usage("--stride: {} leaves tokens between windows of --max-length {} unscored; at most {} makes sense",
               settings.stride, settings.max_length, settings.max_length);
  }
  const bool repeats = settings.compression_interval > 0;
  if (repeats && !settings.target_size) {
    fail_usage("--compression-interval: needs --target-size: compress every so many tokens, down to so many");
  }
  if (repeats && settings.protocol != Protocol::decode) {
    fail_usage("--compression-interval: only protocol decode compresses again; this run uses {}",
               to_string(settings.protocol));
  }
}

std::int64_t context_of(const ProtocolSettings& settings, std::int64_t n_tokens) {
  const std::int64_t context = settings.context_tokens > 0 ? settings.context_tokens : n_tokens / 2;
  if (context >= n_tokens) {
    fail_usage("--context-tokens: {} leaves nothing to score of a text of {} tokens", context, n_tokens);
  }
  return context;
}

std::int64_t highest_position(const ProtocolSettings& settings, std::int64_t n_tokens) {
  const std::int64_t longest = longest_cache(settings, n_tokens);
  if (settings.positions == Positions::text || !settings.target_size) return longest;
  const std::int64_t budget = *settings.target_size;
  switch (settings.protocol) {
    case Protocol::window:
      return longest;
    case Protocol::chunked:
      return std::min(longest, budget + settings.chunk_size);
    case Protocol::continuation:
    case Protocol::decode: {
      const std::int64_t context = context_of(settings, n_tokens);
      if (!settings.has_fixed_budget()) return std::max(context + settings.compression_interval, budget);
      return std::max(context, std::min(context, budget) + n_tokens - context);
    }
  }
  return longest;
}

std::int64_t longest_cache(const ProtocolSettings& settings, std::int64_t n_tokens) {
  return settings.splits_text() ? std::min(settings.max_length, n_tokens) : n_tokens;
}

}  // namespace kvpress
