// Prompts: from texts, token ids or conversations to tokens, and the places where the press compresses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kvpress/tokenizer/chat_template.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "serve/cache_request.h"

namespace kvpress::serve {

struct Prompt {
  std::vector<std::int32_t> tokens;
  std::string text;  ///< as given, or the tokens decoded
  /// Where the text has an end of its own: of the system message, before each answer, at the end. Ascending.
  std::vector<std::int64_t> turns;
};

/// The conversation in the model's chat template, up to the beginning of an answer. Its turns end after the system
/// message and where each earlier answer began: a later request of the same conversation ends its turns at the same
/// places. A place that is not on the border of two tokens is left out.
Prompt chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                   const ChatRendering& how);

/// Where the press compresses a prompt: at the ends of its turns and, with a chunk_size, each time so many tokens were
/// read; with context_tokens only there. Throws ApiError for context_tokens beyond the prompt.
std::vector<std::int64_t> boundaries_of(const Prompt& prompt, const CacheRequest& cache);

}  // namespace kvpress::serve
