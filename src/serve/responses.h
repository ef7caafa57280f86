// Answers in the form of OpenAI's protocol.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kvpress/tokenizer/tokenizer.h"
#include "serve/answer.h"
#include "serve/api_error.h"
#include "serve/fields.h"

namespace kvpress::serve {

/// {"error": {"message", "type", "param", "code"}}
Json error_body(const ApiError& error);

/// What the objects of one answer have in common.
struct AnswerHead {
  std::string id;
  std::int64_t created = 0;
  std::string model;
  bool chat = false;
  std::string press;  ///< under which the cache is held
};

/// A choice as far as it has come.
struct ChoiceText {
  std::string text;
  std::vector<ScoredToken> tokens;
  std::string finish_reason;
};

/// The text of a token, for log-probabilities; "bytes:\xe2\x80" for one that is no whole text.
std::string token_text(const Tokenizer& tokenizer, std::int32_t id);

/// The field "logprobs" of a completion. A first token without a log-probability has null; `offset` is where the text
/// of the first begins.
Json completion_logprobs(const Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens, bool first_is_unknown,
                         std::size_t offset);
Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens);

Json usage_object(const JobUsage& usage, const std::string& press);

/// [["text of the token", share of the heads that hold it], ...]
Json held_object(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens, const std::vector<float>& shares);

/// The whole answer. `logprobs` has one for each choice, or null.
Json answer_object(const AnswerHead& head, const std::vector<ChoiceText>& choices, const std::vector<Json>& logprobs,
                   const JobUsage& usage);

/// Chunks of a stream: the beginning of a chat's choice, a piece, and the last with the usage.
Json first_chunk(const AnswerHead& head, int choice);
Json piece_chunk(const AnswerHead& head, const Piece& piece, const Json& logprobs);
Json usage_chunk(const AnswerHead& head, const JobUsage& usage);

/// An event of a stream: "data: {...}\n\n".
std::string event(const Json& json);
inline constexpr const char* kEndOfEvents = "data: [DONE]\n\n";

}  // namespace kvpress::serve
