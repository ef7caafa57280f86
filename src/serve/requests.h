// Requests of OpenAI's protocol: from JSON to what they ask for, every field checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kvpress/engine/generate.h"
#include "kvpress/tokenizer/chat_template.h"
#include "serve/fields.h"

namespace kvpress::serve {

/// What a completion and a chat have in common.
struct GenerationRequest {
  std::string model;  ///< as asked for; empty: not said
  GenerateSettings generate;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stops;
  int n = 1;
  bool scores = false;  ///< log-probabilities are wanted
  int n_top = 0;        ///< with so many of the likeliest tokens
  bool stream = false;
  bool stream_usage = false;
  Json cache;  ///< the field "kvpress"; null: absent

  const Json* cache_field() const { return cache.is_null() ? nullptr : &cache; }
};

using TextOrTokens = std::variant<std::string, std::vector<std::int32_t>>;

struct CompletionRequest : GenerationRequest {
  std::vector<TextOrTokens> prompts;
  bool echo = false;
};

struct ChatRequest : GenerationRequest {
  std::vector<ChatMessage> messages;
  std::string tools;  ///< a JSON list as text; empty: none
  bool enable_thinking = false;
};

/// A text, or a conversation, to make a context of.
struct ContextRequest {
  std::optional<TextOrTokens> text;
  std::vector<ChatMessage> messages;
  Json cache;
};

/// All throw ApiError (400) naming the field. Token ids are checked against [0, vocab_size).
CompletionRequest read_completion(const Json& body, std::int64_t vocab_size);
ChatRequest read_chat(const Json& body, std::int64_t vocab_size);
ContextRequest read_context(const Json& body, std::int64_t vocab_size);
/// A list of messages; tool calls with their arguments as objects.
std::vector<ChatMessage> read_messages(const Json& list);
/// A list of token ids.
std::vector<std::int32_t> read_tokens(const Json& list, const std::string& param, std::int64_t vocab_size);

inline constexpr std::size_t kMostPrompts = 1024;

}  // namespace kvpress::serve
