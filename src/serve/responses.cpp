#include "serve/responses.h"

#include <algorithm>

#include "base/utf8_stream.h"
#include "tokenizer/unicode.h"

namespace kvpress::serve {
namespace {

Json nullable(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json choice_object(bool chat, int index, const ChoiceText& choice, const Json& logprobs) {
  Json json = {{"index", index}};
  if (chat) {
    json["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  } else {
    json["text"] = choice.text;
  }
  json["logprobs"] = logprobs;
  json["finish_reason"] = nullable(choice.finish_reason);
  return json;
}

Json chunk_object(const AnswerHead& head, Json choices) {
  return {{"id", head.id},
          {"object", head.chat ? "chat.completion.chunk" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

Json chat_token(const Tokenizer& tokenizer, const TokenLogprob& token) {
  Json bytes = Json::array();
  for (const char c : tokenizer.decode_next({&token.token, 1}, false)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(tokenizer, token.token)}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

Json error_body(const ApiError& error) {
  return {{"error",
           {{"message", error.what()},
            {"type", error.type},
            {"param", nullable(error.param)},
            {"code", nullable(error.code)}}}};
}

std::string token_text(const Tokenizer& tokenizer, std::int32_t id) {
  std::string text = tokenizer.decode_next({&id, 1}, false);
  std::string storage;
  if (to_valid_utf8(text, storage) == text) return text;
  std::string bytes = "bytes:";
  for (const char c : text) bytes += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return bytes;
}

Json completion_logprobs(const Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens, bool first_is_unknown,
                         std::size_t offset) {
  Json texts = Json::array();
  Json logprobs = Json::array();
  Json tops = Json::array();
  Json offsets = Json::array();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const TokenLogprob& chosen = tokens[i].chosen;
    const bool unknown = first_is_unknown && i == 0;
    texts.push_back(token_text(tokenizer, chosen.token));
    logprobs.push_back(unknown ? Json() : Json(chosen.logprob));
    offsets.push_back(offset);
    offset += tokenizer.decode_next({&chosen.token, 1}, false).size();
    if (unknown) {
      tops.push_back(nullptr);
      continue;
    }
    Json top = Json::object();
    for (const TokenLogprob& it : tokens[i].top) {
      top.emplace(token_text(tokenizer, it.token), it.logprob);  // of equal texts the likeliest counts
    }
    top.emplace(token_text(tokenizer, chosen.token), chosen.logprob);
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens) {
  Json content = Json::array();
  for (const ScoredToken& it : tokens) {
    Json token = chat_token(tokenizer, it.chosen);
    token["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : it.top) token["top_logprobs"].push_back(chat_token(tokenizer, top));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json usage_object(const JobUsage& usage, const std::string& press) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.new_tokens},
          {"total_tokens", usage.prompt_tokens + usage.new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.reused_tokens}}},
          {"kvpress",
           {{"press", press},
            {"cache_tokens", usage.cache_tokens},
            {"cache_bytes", usage.cache_bytes},
            {"peak_bytes", usage.peak_bytes},
            {"wait_sec", usage.wait_sec},
            {"prefill_sec", usage.prefill_sec},
            {"compress_sec", usage.compress_sec},
            {"decode_sec", usage.decode_sec}}}};
}

Json held_object(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens, const std::vector<float>& shares) {
  Json list = Json::array();
  Utf8Stream characters;
  for (std::size_t i = 0; i < std::min(tokens.size(), shares.size()); ++i) {
    list.push_back({characters.take(tokenizer.decode_next({&tokens[i], 1}, false)), shares[i]});
  }
  return list;
}

Json answer_object(const AnswerHead& head, const std::vector<ChoiceText>& choices, const std::vector<Json>& logprobs,
                   const JobUsage& usage) {
  Json list = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    list.push_back(choice_object(head.chat, static_cast<int>(i), choices[i], logprobs[i]));
  }
  return {{"id", head.id},
          {"object", head.chat ? "chat.completion" : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"choices", std::move(list)},
          {"usage", usage_object(usage, head.press)}};
}

Json first_chunk(const AnswerHead& head, int choice) {
  const Json delta = {{"role", "assistant"}, {"content", ""}};
  return chunk_object(
      head, Json::array({{{"index", choice}, {"delta", delta}, {"logprobs", nullptr}, {"finish_reason", nullptr}}}));
}

Json piece_chunk(const AnswerHead& head, const Piece& piece, const Json& logprobs) {
  Json choice = {{"index", piece.choice}};
  if (head.chat) {
    choice["delta"] = Json::object();
    if (!piece.text.empty()) choice["delta"]["content"] = piece.text;
  } else {
    choice["text"] = piece.text;
  }
  choice["logprobs"] = logprobs;
  choice["finish_reason"] = nullable(piece.finish_reason);
  Json chunk = chunk_object(head, Json::array({std::move(choice)}));
  chunk["kvpress"] = {{"cache_tokens", piece.cache_tokens}, {"cache_bytes", piece.cache_bytes}};
  return chunk;
}

Json usage_chunk(const AnswerHead& head, const JobUsage& usage) {
  Json chunk = chunk_object(head, Json::array());
  chunk["usage"] = usage_object(usage, head.press);
  return chunk;
}

std::string event(const Json& json) { return "data: " + dump(json) + "\n\n"; }

}  // namespace kvpress::serve
