#include "serve/prompts.h"

#include <algorithm>

#include "serve/api_error.h"

namespace kvpress::serve {
namespace {

/// The tokens of a beginning of the text, if they are a beginning of the text's tokens; else 0.
std::int64_t tokens_within(const Tokenizer& tokenizer, const Prompt& prompt, const std::string& beginning) {
  if (beginning.empty() || beginning.size() >= prompt.text.size() || !prompt.text.starts_with(beginning)) return 0;
  const std::vector<std::int32_t> tokens = tokenizer.encode(beginning);
  if (tokens.size() >= prompt.tokens.size()) return 0;
  return std::equal(tokens.begin(), tokens.end(), prompt.tokens.begin()) ? std::ssize(tokens) : 0;
}

}  // namespace

Prompt chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                   const ChatRendering& how) {
  Prompt prompt;
  prompt.text = chat.render(messages, how);
  prompt.tokens = tokenizer.encode(prompt.text);
  const auto add_turn = [&](std::size_t n_messages, bool before_answer) {
    ChatRendering part = how;
    part.add_generation_prompt = before_answer;
    try {
      const std::int64_t n = tokens_within(tokenizer, prompt, chat.render(messages.first(n_messages), part));
      if (n > 0 && (prompt.turns.empty() || n > prompt.turns.back())) prompt.turns.push_back(n);
    } catch (const Error&) {
      // A template need not take a part of a conversation.
    }
  };
  std::size_t n_system = 0;
  while (n_system < messages.size() && messages[n_system].role == "system") ++n_system;
  if (n_system > 0 && n_system < messages.size()) add_turn(n_system, false);
  for (std::size_t i = n_system; i < messages.size(); ++i) {
    if (i > 0 && messages[i].role == "assistant" && messages[i - 1].role != "assistant") add_turn(i, true);
  }
  prompt.turns.push_back(std::ssize(prompt.tokens));
  return prompt;
}

std::vector<std::int64_t> boundaries_of(const Prompt& prompt, const CacheRequest& cache) {
  const auto n = std::ssize(prompt.tokens);
  if (cache.context_tokens) {
    if (*cache.context_tokens > n) {
      fail_field("kvpress.context_tokens", "{} exceeds the {} tokens of the prompt", *cache.context_tokens, n);
    }
    return {*cache.context_tokens};
  }
  if (cache.chunk_size == 0) return prompt.turns;
  std::vector<std::int64_t> boundaries;
  std::int64_t at = 0;
  for (const std::int64_t turn : prompt.turns) {
    for (at += cache.chunk_size; at < turn; at += cache.chunk_size) boundaries.push_back(at);
    boundaries.push_back(turn);
    at = turn;
  }
  return boundaries;
}

}  // namespace kvpress::serve
