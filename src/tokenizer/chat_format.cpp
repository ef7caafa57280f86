#include "kvpress/tokenizer/chat_format.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/tokenizer/chat_template.h"
#include "tokenizer/jinja/text.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

constexpr std::string_view kChatmlTurn = "<|im_start|>user\n";
constexpr std::string_view kLlama3Turn = "<|start_header_id|>user<|end_header_id|>\n\n";

struct Split {
  std::string before, after;
};

/// What the template writes around a text. The placeholder is longer than any run of its character in a template, and
/// so is no part of what the template itself writes.
Split split_at_text(const ChatTemplate& chat, const std::string& begin, const std::string& system = "") {
  constexpr std::size_t kLength = 4096;
  const std::string placeholder(kLength, '#');
  std::vector<ChatMessage> messages = {{"user", begin + "x" + placeholder}};
  if (!system.empty()) messages.insert(messages.begin(), {"system", system});
  const std::string text = chat.render(messages);
  const std::string mark = "x" + placeholder;
  const std::size_t at = text.find(mark);
  if (at == std::string::npos) fail("the chat template does not write the user's text as it is");
  if (text.find(placeholder, at + mark.size()) != std::string::npos) {
    fail("the chat template writes the user's text more than once");
  }
  return {text.substr(0, at), text.substr(at + mark.size())};
}

/// What the template writes between an answer and the user's next text.
std::string between_turns(const ChatTemplate& chat) {
  constexpr std::size_t kLength = 4096;
  const std::string answer = "x" + std::string(kLength, '#') + "x";
  const std::string next = "y" + std::string(kLength, '#') + "y";
  const ChatMessage messages[] = {{"user", "x"}, {"assistant", answer}, {"user", next}};
  try {
    const std::string text = chat.render(messages);
    const std::size_t begin = text.find(answer);
    const std::size_t end = text.find(next);
    if (begin == std::string::npos || end == std::string::npos || end < begin + answer.size()) return {};
    return text.substr(begin + answer.size(), end - begin - answer.size());
  } catch (const Error&) {  // a template for single questions
    return {};
  }
}

ChatFormat from_template(const ChatTemplate& chat, const std::string& system = "") {
  Split split = split_at_text(chat, "", system);
  const bool trims = split_at_text(chat, " \n", system).before == split.before;
  const auto ends_with = [&](std::string_view turn) {
    return split.before.size() >= turn.size() && split.before.substr(split.before.size() - turn.size()) == turn;
  };
  const std::string name = ends_with(kChatmlTurn) ? "chatml" : ends_with(kLlama3Turn) ? "llama3" : "template";
  return {name, std::move(split.before), std::move(split.after), trims, between_turns(chat)};
}

/// The system message that the template writes by itself, with the turn of that name around it; empty if it writes
/// none, or is of another format, or cannot be run.
std::string own_system_turn(const ChatTemplate& chat, std::string_view user_turn) {
  if (chat.empty()) return {};
  try {
    const std::string before = split_at_text(chat, "").before;
    if (before.size() < user_turn.size() || before.substr(before.size() - user_turn.size()) != user_turn) return {};
    return before.substr(0, before.size() - user_turn.size());
  } catch (const Error&) {
    return {};
  }
}

std::string token(const ChatTemplate& chat, const std::string& name) {
  const auto it = chat.special_tokens().find(name);
  return it == chat.special_tokens().end() ? std::string() : it->second;
}

}  // namespace

std::string ChatFormat::begin(std::string_view text) const {
  if (!trims_begin) return before + std::string(text);
  std::string storage;
  return before + std::string(jinja::strip(to_valid_utf8(text, storage), nullptr, true, false));
}

ChatFormat chat_format(const ModelFiles& files, const std::string& name, const std::string& option) {
  constexpr std::string_view kKnown = "auto, plain, chatml, llama3";
  if (name != "auto" && name != "plain" && name != "chatml" && name != "llama3") {
    fail_usage("{}: '{}' is not known; known: {}", option, name, kKnown);
  }
  const ChatTemplate chat(files);
  const std::string begin = token(chat, "bos_token");
  if (name == "auto" && !chat.empty()) {
    try {
      return from_template(chat);
    } catch (const Error& error) {
      fail_usage("{}: {}: the chat template cannot be used: {}; choose a format with {}: plain, chatml, llama3", option,
                 files.path.string(), error.what(), option);
    }
  }
  if (name == "chatml") {
    return {"chatml", own_system_turn(chat, kChatmlTurn) + std::string(kChatmlTurn),
            "<|im_end|>\n<|im_start|>assistant\n", false, "<|im_end|>\n" + std::string(kChatmlTurn)};
  }
  if (name == "llama3") {
    std::string before = own_system_turn(chat, kLlama3Turn);
    if (before.empty()) before = begin;
    return {"llama3", before + std::string(kLlama3Turn), "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            false, "<|eot_id|>" + std::string(kLlama3Turn)};
  }
  return {"plain", begin, "\n", false, "\n"};
}

ChatFormat conversation_format(const ModelFiles& files, const std::string& system, bool uses_template) {
  const ChatTemplate chat(files);
  if (!uses_template) {
    return {"plain", token(chat, "bos_token") + (system.empty() ? "" : system + "\n\n"), "\n", false, "\n"};
  }
  ChatFormat format;
  try {
    format = from_template(chat, system);
  } catch (const Error& error) {
    fail_usage("{}: the chat template cannot be used{}: {}", files.path.string(),
               system.empty() ? "" : " with a system message", error.what());
  }
  if (!system.empty() && format.before.find(system) == std::string::npos) {
    fail_usage("{}: the chat template has no place for a system message; leave it out", files.path.string());
  }
  return format;
}

}  // namespace kvpress
